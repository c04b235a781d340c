"""How late an event loop is, and how many runs it may therefore hold.

Beyond what the machine can do, runs that start at once only make each other late, until healthy targets time out. So the
number that may run is cut while the loop lags, and grows again while it does not; the others wait, and are dropped when late.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

BEAT_S = 0.1
BUSY_S = 0.2
"""A loop that is this late is given no more work, and no timing of it is believed."""
_LEAST = 50
_REMEMBERED_S = 120.0


class LoopLag:
    def __init__(self, most: int) -> None:
        self.most = most
        self.allowed = most
        """How many runs may be under way now."""
        self.lag_s = 0.0
        self.beats = 0
        """How many there were: a watchdog sees by it that the loop comes back."""
        self._due = math.inf
        """When the next beat is to come."""
        self._lags: deque[tuple[float, float]] = deque()
        """(when it was noticed, how late) of the lags that matter."""

    async def beat_forever(self, running: Callable[[], int], on_beat: Callable[[], None]) -> None:
        try:
            while True:
                self._due = time.monotonic() + BEAT_S  # the loop's own clock stands still while it does
                await asyncio.sleep(BEAT_S)
                self.beats += 1
                now = time.monotonic()
                self.note(now, now - self._due, running())
                on_beat()
        finally:
            self._due = math.inf  # no beat is missing when none is given

    def note(self, now: float, lag_s: float, running: int) -> None:
        """A beat came `lag_s` late while so many were under way."""
        self.lag_s = lag_s
        if lag_s > BUSY_S:
            self._lags.append((now, lag_s))
            self.allowed = max(_LEAST, min(self.allowed, running) * 7 // 10)
        else:
            self.allowed = min(self.most, self.allowed + max(10, self.allowed // 10))
        while self._lags and self._lags[0][0] < now - _REMEMBERED_S:
            self._lags.popleft()

    def worst_between(self, moment: float, now: float) -> float:
        """The longest that the loop stood still from a moment until now, in seconds; 0 where it is nothing to speak of.

        A beat that should have come by now counts: what woke first after a standstill must not be believed for that.
        """
        missing = now - max(self._due, moment)
        noted = max((min(lag, at - moment) for at, lag in self._lags if at >= moment), default=0.0)
        return max(noted, missing if missing > BUSY_S else 0.0)
