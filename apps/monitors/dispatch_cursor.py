"""The dispatch cursor: the moment up to which slots were sent. One row, whose lock orders ticks and new revisions."""

from __future__ import annotations

from datetime import datetime

from apps.core.clock import to_ms
from apps.monitors.models import DispatchCursor
from apps.monitors.schedule import due_span


def next_revision_start(*, now: datetime) -> int:
    """Return the first moment (epoch ms) not yet dispatched, where the regular slots of a new revision begin.

    Takes the cursor's lock.
    """
    return max(_locked_cursor(now=now).sent_until_ms, to_ms(now)) + 1


def advance_cursor(*, now: datetime) -> tuple[int, int]:
    """Advance the cursor; return the next span (after, until] of slots to send.

    Must be committed before anything is sent, so that a slot is sent at most once.
    """
    cursor = _locked_cursor(now=now)
    after, until = due_span(cursor.sent_until_ms, to_ms(now))
    cursor.sent_until_ms = max(until, cursor.sent_until_ms)
    cursor.save(update_fields=["sent_until_ms"])
    return after, until


def _locked_cursor(*, now: datetime) -> DispatchCursor:
    locked = DispatchCursor.objects.select_for_update()
    found = locked.filter(id=1).first()
    if found is None:
        first = DispatchCursor(id=1, sent_until_ms=to_ms(now))
        DispatchCursor.objects.bulk_create([first], ignore_conflicts=True)  # two may be first at once
        found = locked.get(id=1)
    return found
