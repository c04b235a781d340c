"""Slot arithmetic: computes when checks are due, without stored rows."""

from __future__ import annotations

import hashlib
import uuid

AHEAD_MS = 2_000
"""Jobs are sent this long before their slot."""
PAST_MS = 2_000
"""After an outage of the tick, slots older than this are not sent; they become unknown time."""


def phase_of(check_id: uuid.UUID, interval_ms: int) -> int:
    """Return the check's stable offset in its interval (ms): spreads the load, also after a restart."""
    return int.from_bytes(hashlib.sha256(check_id.bytes).digest()[:8]) % interval_ms


def due_span(sent_until: int, now: int) -> tuple[int, int]:
    """Return (after, until], the slots that a tick at `now` sends: never longer than the shortest interval."""
    return max(sent_until, now - PAST_MS), now + AHEAD_MS
