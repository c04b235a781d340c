"""Beat as a pair, or as many as there are: one gives the beat, the others wait for its lease to end."""

from __future__ import annotations

import logging
import math
import time
import uuid
from typing import Any

from django.db import DatabaseError, connection
from django_celery_beat.schedulers import DatabaseScheduler

from apps.monitors.services import hold_beat
from apps.telemetry.health import LOOPS, serve_as_told

log = logging.getLogger(__name__)

_ASK_AGAIN_S = 1.0
_SURE_S = 0.9
"""Since the lease was asked for: much less than it lasts. The clock of a process that was stopped has gone on."""


class PairScheduler(DatabaseScheduler):  # type: ignore[misc]  # it comes without types
    """Sends nothing without the lease, asked for every second: a beat that was stopped for a while asks before it sends."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._holder = uuid.uuid4().hex
        self._is_leading = False
        self._asked_at = self._looked_at = -math.inf
        super().__init__(*arguments, **options)
        if not options.get("lazy"):
            serve_as_told()

    def tick(self, *arguments: Any, **options: Any) -> float:
        LOOPS.turned("beat", within_s=15)
        if not self._may_send():
            return _ASK_AGAIN_S
        pause_s: float = super().tick(*arguments, **options)
        return min(pause_s, _ASK_AGAIN_S)

    def schedule_changed(self) -> bool:
        """Whether operators edited the entries; looked at every second, though it is asked for at every entry that is due."""
        if time.monotonic() - self._looked_at < _ASK_AGAIN_S:
            return False
        self._looked_at = time.monotonic()
        changed: bool = super().schedule_changed()
        return changed

    def close(self) -> None:
        """Celery calls it in a signal's handler, where a query would wait for ever for the one under way.

        What is to be saved is saved at the process's exit, on a connection of its own.
        """
        connection.close()

    def _may_send(self) -> bool:
        if self._is_leading and time.monotonic() - self._asked_at < _SURE_S:
            return True
        self._asked_at = time.monotonic()
        try:
            leads = hold_beat(holder=self._holder)
        except DatabaseError as error:
            if self._is_leading:
                log.warning("no beat while the database is away: %s", str(error).strip())
            connection.close()
            leads = False
        if leads and not self._is_leading:
            log.info("this beat leads")
        self._is_leading = leads
        return leads
