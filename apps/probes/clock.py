"""The core's clock as a worker knows it: its own, less an offset learned from the messages that arrive."""

from __future__ import annotations

import time
from collections.abc import Callable

APPLIED_BEYOND_MS = 1_000
SETTLES_AFTER_MS = 3_000
_MINUTES_KEPT = 60


def _anchored() -> Callable[[], int]:
    """Wall time that does not jump: a step of the system clock must not look like a batch of late jobs."""
    anchor = time.time() - time.monotonic()
    return lambda: int((anchor + time.monotonic()) * 1000)


class CoreClock:
    """Offset = the smallest (arrival - sent_at) of the last hour, applied when beyond a second.

    After a start it is not trusted until that minimum has stood for three seconds: an old queue is not a slow clock.
    """

    def __init__(self, wall_ms: Callable[[], int] | None = None) -> None:
        self._wall_ms = wall_ms or _anchored()
        self._minima: dict[int, int] = {}
        self._least = 0
        self._moved_at: int | None = None
        self._settled = False

    @property
    def measured_ms(self) -> int:
        """How far this clock is ahead of the core's (negative: behind), the shortest way of a message included."""
        return self._least

    @property
    def offset_ms(self) -> int:
        """What is applied: small differences are the network, not the clock."""
        return self.measured_ms if abs(self.measured_ms) > APPLIED_BEYOND_MS else 0

    def now_ms(self) -> int:
        return self._wall_ms() - self.offset_ms

    def observe(self, sent_at: int) -> None:
        """A message of the core arrived that was sent at `sent_at`."""
        arrived = self._wall_ms()
        before = self.measured_ms if self._minima else None
        minute = arrived // 60_000
        difference = arrived - sent_at
        self._minima[minute] = min(difference, self._minima.get(minute, difference))
        for old in [kept for kept in self._minima if kept <= minute - _MINUTES_KEPT]:
            del self._minima[old]
        self._least = min(self._minima.values())
        # A few milliseconds less is a luckier message, not another clock.
        if before is None or self.measured_ms < before - APPLIED_BEYOND_MS // 2:
            self._moved_at = arrived

    def is_settled(self) -> bool:
        if not self._settled and self._moved_at is not None:
            self._settled = self._wall_ms() - self._moved_at >= SETTLES_AFTER_MS
        return self._settled
