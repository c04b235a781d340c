"""Slots are arithmetic: when a check is due, without a row written."""

from __future__ import annotations

import hashlib
import uuid

AHEAD_MS = 2_000
"""Jobs go out this much before their slot."""
PAST_MS = 2_000
"""After a gap, slots older than this are not made up for: they become unknown time."""


def phase_of(check_id: uuid.UUID, interval_ms: int) -> int:
    """A stable place of the check in its interval: the load is even, and a restart makes no herd."""
    return int.from_bytes(hashlib.sha256(check_id.bytes).digest()[:8]) % interval_ms


def due_span(sent_until: int, now: int) -> tuple[int, int]:
    """(after, until]: the slots that a tick at `now` sends. Never longer than the shortest interval."""
    return max(sent_until, now - PAST_MS), now + AHEAD_MS
