"""Faults drawn from a seed: messages lost, repeated and delayed, regions and the core silent, processes that die."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.transaction import Atomic


class Crash(BaseException):
    """Stands for the death of a process. A BaseException, so that no `except Exception` of the product catches it."""


class FaultInjection:
    """The fault rates of one seed, and its source of random numbers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        wild = self.random.random() < 0.8
        self.loss, self.doubling, self.delay, self.crash = (self.random.choice([0, 0.03, 0.1]) if wild else 0 for _ in range(4))
        self.is_tame = not any((self.loss, self.delay, self.crash))
        """Whether no message is lost or delayed and no process dies, so that every true outage must be reported."""

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def between(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def span(self, start: int, end: int, share: float, longest_s: int) -> tuple[int, int]:
        """Draw a span of silence (milliseconds) within [start, end) with probability `share`, else an empty one."""
        if not self.chance(share):
            return end, end
        begin = self.between(start, end)
        return begin, min(begin + self.between(3, longest_s) * 1000, end)

    @contextmanager
    def dying(self) -> Iterator[None]:
        """Raise `Crash`, with probability `crash`, just before or after one of the commits made inside the block."""
        planned = self.between(1, 6) if self.chance(self.crash) else 0
        is_after = self.chance(0.5)
        commits = 0
        leave = Atomic.__exit__

        def leaving(atomic: Atomic, kind: Any, error: Any, trace: Any) -> None:
            nonlocal commits
            commits += kind is None
            if kind is not None or commits != planned:
                leave(atomic, kind, error, trace)
            elif is_after:
                leave(atomic, None, None, None)
                raise Crash
            else:
                gone = Crash()
                leave(atomic, Crash, gone, None)
                raise gone

        if not planned:
            yield
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Atomic, "__exit__", leaving)
            yield
