"""The core's clock as estimated by a worker: its own clock minus an offset learned from the messages it receives."""

from __future__ import annotations

import time
from collections.abc import Callable

APPLIED_BEYOND_MS = 1_000
SETTLES_AFTER_MS = 3_000
_MINUTES_KEPT = 60


def _anchored() -> Callable[[], int]:
    """Return a wall clock that does not jump: a step of the system clock would make a whole batch look late."""
    anchor = time.time() - time.monotonic()
    return lambda: int((anchor + time.monotonic()) * 1000)


class CoreClock:
    """Estimates the core's time in epoch milliseconds.

    The offset is the smallest (arrival - sent_at) of the last hour; it is applied only if it exceeds one second. After
    a start the clock is not settled until that minimum has been stable for three seconds, because messages that waited
    in the queue make this clock appear to be ahead.
    """

    def __init__(self, wall_ms: Callable[[], int] | None = None) -> None:
        self._wall_ms = wall_ms or _anchored()
        self._minima: dict[int, int] = {}
        self._least = 0
        self._moved_at: int | None = None
        self._settled = False

    @property
    def measured_ms(self) -> int:
        """The measured offset: positive if this clock is ahead. Includes the latency of the fastest message."""
        return self._least

    @property
    def offset_ms(self) -> int:
        """The offset that is applied; small ones are ignored, since they are network latency."""
        return self.measured_ms if abs(self.measured_ms) > APPLIED_BEYOND_MS else 0

    def now_ms(self) -> int:
        """Return the core's time in epoch milliseconds."""
        return self._wall_ms() - self.offset_ms

    def observe(self, sent_at: int) -> None:
        """Record that a message which the core sent at `sent_at` (epoch milliseconds) has just arrived."""
        arrived = self._wall_ms()
        before = self.measured_ms if self._minima else None
        minute = arrived // 60_000
        difference = arrived - sent_at
        self._minima[minute] = min(difference, self._minima.get(minute, difference))
        for old in [kept for kept in self._minima if kept <= minute - _MINUTES_KEPT]:
            del self._minima[old]
        self._least = min(self._minima.values())
        # A slightly smaller minimum is only a faster message; a much smaller one restarts the settling time.
        if before is None or self.measured_ms < before - APPLIED_BEYOND_MS // 2:
            self._moved_at = arrived

    def is_settled(self) -> bool:
        """Tell whether the offset is known well enough to judge slots by it."""
        if not self._settled and self._moved_at is not None:
            self._settled = self._wall_ms() - self._moved_at >= SETTLES_AFTER_MS
        return self._settled
