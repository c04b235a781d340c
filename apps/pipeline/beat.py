"""Celery beat in two or more processes: one holds the lease and sends, the others wait for the lease to end."""

from __future__ import annotations

import logging
import math
import time
import uuid
from typing import Any

from django.db import DatabaseError, connection
from django_celery_beat.schedulers import DatabaseScheduler

from apps.monitors.services import acquire_beat_lease
from apps.telemetry.health import LOOPS, serve_if_configured

log = logging.getLogger(__name__)

_ASK_AGAIN_S = 1.0
_SURE_S = 0.9
"""For how long a lease is relied on: well below its length.

Counted on the monotonic clock, which goes on while the process is stopped.
"""


class PairScheduler(DatabaseScheduler):  # type: ignore[misc]  # it comes without types
    """A database scheduler that sends only while it holds the lease, which it requests every second.

    A beat that was stopped for a while requests the lease again before it sends.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._holder = uuid.uuid4().hex
        self._is_leading = False
        self._asked_at = self._looked_at = -math.inf
        super().__init__(*arguments, **options)
        if not options.get("lazy"):
            serve_if_configured()

    def tick(self, *arguments: Any, **options: Any) -> float:
        LOOPS.turned("beat", within_s=15)
        if not self._may_send():
            return _ASK_AGAIN_S
        pause_s: float = super().tick(*arguments, **options)
        return min(pause_s, _ASK_AGAIN_S)

    def schedule_changed(self) -> bool:
        """Return whether operators edited the entries; read once a second, though Celery asks for every due entry."""
        if time.monotonic() - self._looked_at < _ASK_AGAIN_S:
            return False
        self._looked_at = time.monotonic()
        changed: bool = super().schedule_changed()
        return changed

    def close(self) -> None:
        """Close the connection without saving entries.

        Celery calls this in a signal handler, where a query could wait for ever for the one it interrupted. Entries are
        saved when the process exits, on a new connection.
        """
        connection.close()

    def _may_send(self) -> bool:
        if self._is_leading and time.monotonic() - self._asked_at < _SURE_S:
            return True
        self._asked_at = time.monotonic()
        try:
            leads = acquire_beat_lease(holder=self._holder)
        except DatabaseError as error:
            if self._is_leading:
                log.warning("no beat while the database is away: %s", str(error).strip())
            connection.close()
            leads = False
        if leads and not self._is_leading:
            log.info("this beat leads")
        self._is_leading = leads
        return leads
