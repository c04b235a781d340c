"""Keeps messages that could not be processed, for a month and within limits."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db.models.functions import Length

from apps.probes.wire import MAX_BODY
from apps.results.models import DeadLetter
from apps.telemetry.metrics import DEAD_LETTERS

_CONTENT_LIMIT = 20_000
_UNREADABLE_AN_HOUR = 100
_WHOLE_MESSAGES = 500
LETTERS_KEPT = timedelta(days=30)


def add_dead_letter(
    *, origin: DeadLetter.Origin, error: str, content: Any, now: datetime, region: str = "", check_id: uuid.UUID | None = None,
    limit: int = _CONTENT_LIMIT,
) -> None:  # fmt: skip
    """Store what could not be processed, cut to `limit` characters.

    Characters that PostgreSQL cannot store are escaped.
    """
    try:
        text = content if isinstance(content, str) else json.dumps(content, default=repr)
    except RecursionError:
        text = "(nested too deeply to be kept)"
    DEAD_LETTERS.labels(origin.value).inc()
    DeadLetter.objects.create(
        origin=origin,
        region=_storable(region)[:40],
        check_id=check_id,
        error=_storable(error)[:2_000],
        content=_storable(text)[:limit],
        created_at=now,
    )


def dead_letter_limit() -> int:
    """Return how many characters to keep of a message that failed through a fault of ours, to be processed again.

    All of it, unless many long ones are stored already: a fault that affects every message would fill the disk.
    """
    long = DeadLetter.objects.alias(size=Length("content")).filter(origin=DeadLetter.Origin.MESSAGE, size__gt=_CONTENT_LIMIT)
    return _CONTENT_LIMIT if long[_WHOLE_MESSAGES:].exists() else MAX_BODY


def add_unreadable(*, error: str, now: datetime) -> None:
    """Store a dead letter for an item of the broker that is no message: without content, and at most a hundred an hour.

    Whoever can write to the queue could write such items without end.
    """
    recent = DeadLetter.objects.filter(origin=DeadLetter.Origin.MESSAGE, content="", created_at__gt=now - timedelta(hours=1))
    if not recent[_UNREADABLE_AN_HOUR - 1 :].exists():
        add_dead_letter(origin=DeadLetter.Origin.MESSAGE, error=error, content="", now=now)


def prune_dead_letters(*, now: datetime) -> int:
    """Delete dead letters older than 30 days; return how many."""
    return DeadLetter.objects.filter(created_at__lt=now - LETTERS_KEPT).delete()[0]


def _storable(text: str) -> str:
    return text.replace("\x00", "\\u0000").encode("utf-8", "backslashreplace").decode()
