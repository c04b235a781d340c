"""Measure the lag of the event loop and adapt the number of concurrent runs to it.

When a worker is overloaded, starting all runs only delays them until healthy targets time out. So the limit is reduced
while the loop lags and raised again afterwards; other jobs wait, and are dropped once they are late.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

BEAT_S = 0.1
BUSY_S = 0.2
"""Lag in seconds above which fewer runs are allowed and measurements are not trusted."""
_LEAST = 50
_REMEMBERED_S = 120.0


class LoopLag:
    """The lag of one event loop, measured by a periodic beat, and the resulting limit of concurrent runs."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.allowed = most
        """The current limit of concurrent runs."""
        self.lag_s = 0.0
        self.beats = 0
        """Number of beats so far, by which the watchdog recognizes that the loop runs."""
        self._due = math.inf
        """When the next beat is due; infinite while none is scheduled."""
        self._lags: deque[tuple[float, float]] = deque()
        """(time of the beat, lag in seconds) of the beats that were later than `BUSY_S`."""

    async def beat_forever(self, running: Callable[[], int], on_beat: Callable[[], None]) -> None:
        try:
            while True:
                self._due = time.monotonic() + BEAT_S  # the loop's cached time does not advance while blocked
                await asyncio.sleep(BEAT_S)
                self.beats += 1
                now = time.monotonic()
                self.note(now, now - self._due, running())
                on_beat()
        finally:
            self._due = math.inf  # without a scheduled beat none can be overdue

    def note(self, now: float, lag_s: float, running: int) -> None:
        """Record that a beat came `lag_s` seconds late while `running` jobs were running, and adapt the limit."""
        self.lag_s = lag_s
        if lag_s > BUSY_S:
            self._lags.append((now, lag_s))
            self.allowed = max(_LEAST, min(self.allowed, running) * 7 // 10)
        else:
            self.allowed = min(self.most, self.allowed + max(10, self.allowed // 10))
        while self._lags and self._lags[0][0] < now - _REMEMBERED_S:
            self._lags.popleft()

    def worst_between(self, moment: float, now: float) -> float:
        """Return the longest time in seconds that the loop was blocked between `moment` and `now`; 0 if negligible.

        A beat that is overdue counts as well: after a blockage other tasks may run before the late beat does.
        """
        missing = now - max(self._due, moment)
        noted = max((min(lag, at - moment) for at, lag in self._lags if at >= moment), default=0.0)
        return max(noted, missing if missing > BUSY_S else 0.0)
