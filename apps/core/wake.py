"""Sends a Celery task after commit, in a single attempt. If the message is lost, a periodic sweep finds the work."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import current_app
from django.db import transaction

log = logging.getLogger(__name__)

_WORTH_S = 30
"""Seconds until the message expires: by then a sweep has found the work."""


def wake(task: str, **kwargs: Any) -> None:
    """Send the named task once the transaction has committed. A broker error is logged and never fails the request."""
    transaction.on_commit(lambda: _send(task, kwargs))


def _send(task: str, kwargs: dict[str, Any]) -> None:
    try:
        current_app.send_task(task, kwargs=kwargs, retry=False, expires=_WORTH_S, headers={"sent_at": time.time()})
    except Exception as error:  # noqa: BLE001  # whatever the broker's library raises: the sweep finds the work
        log.warning("%s could not be woken, the sweep will find its work: %s", task, error)
