"""Ends a worker whose event loop is blocked, so that its supervisor restarts it; the job that ran is reported first.

A thread counts the seconds without a beat of the loop. If native code holds the interpreter lock (GIL), no Python
thread runs; then the timer of `faulthandler`, which does not need the lock, ends the process.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
from collections.abc import Callable

from apps.probes.engine import Engine

log = logging.getLogger(__name__)

STANDSTILL_S = 10
"""Ticks, normally of one second, without a beat of the loop after which the worker ends itself."""
EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
_INTERPRETER_HELD_S = 30.0
_TICK_S = 1.0
_STDERR = 2
"""The file descriptor, because Celery replaces `sys.stderr` by an object that has none."""


class Watchdog:
    """Watches one engine. `end` is called with the exit code and ends the process."""

    def __init__(self, engine: Engine, end: Callable[[int], object] = os._exit, *, tick_s: float = _TICK_S) -> None:
        self._engine = engine
        self._end = end
        self._tick_s = tick_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        # Count ticks instead of time: after the whole process was suspended, the loop is late but not blocked.
        ticks_without_beat, beats = 0, -1
        while not self._stopped.wait(self._tick_s):
            faulthandler.dump_traceback_later(_INTERPRETER_HELD_S, exit=True, file=_STDERR)
            ticks_without_beat = 0 if self._engine.loop_lag.beats != beats else ticks_without_beat + 1
            beats = self._engine.loop_lag.beats
            if ticks_without_beat >= STANDSTILL_S:
                self._give_up(ticks_without_beat * self._tick_s)
                return

    def _give_up(self, stood_still_s: float) -> None:
        report = self._engine.describe_standstill(stood_still_s)
        name = f"check {report.check}" if report.check else f"trial {report.trial}" if report.trial else "no job that is known"
        log.critical(
            "the probe loop stands still for %.0f s at %s; this worker ends itself\n%s", stood_still_s, name, report.stack
        )
        try:
            self._engine.report_standstill(report)
        finally:
            self._end(EXIT_CODE)
