"""What a passive check waits for, pure: signals and deadlines become rounds, which `machine.step` judges like any other.

Standard library and the probes' reasons only; epoch milliseconds of the core, no clock, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from apps.probes.contract import Rhythm
from apps.probes.reasons import Reason, Verdict

OPEN_LIMIT = 20
"""Runs that are kept apart at the same time; a further one is heard, and not measured."""


class Signal(StrEnum):
    SUCCESS = "success"
    START = "start"
    FAIL = "fail"
    LOG = "log"


@dataclass(frozen=True)
class OpenRun:
    """A run that has begun and not ended."""

    rid: str
    """Its run id; empty where the job sends none."""
    first: int
    """The overrun is counted from here: a job that only ever begins does not push it on."""
    last: int
    """The latest start: what its time is measured from."""


@dataclass(frozen=True)
class HeartbeatState:
    anchor: int | None = None
    """What the next expected signal is counted from; None until the first, which is never missed."""
    begun: tuple[OpenRun, ...] = ()

    def stored(self) -> dict[str, Any]:
        return {"anchor": self.anchor, "begun": [[run.rid, run.first, run.last] for run in self.begun]}

    @classmethod
    def read(cls, stored: dict[str, Any]) -> HeartbeatState:
        return cls(stored["anchor"], tuple(OpenRun(*run) for run in stored["begun"]))


@dataclass(frozen=True)
class Deadline:
    """A moment beyond which something is wrong; a signal at the very millisecond is in time."""

    at: int
    expected: int
    """When it should have come, or when the run began."""
    rid: str | None
    """The run that is not to take longer; None: any signal was expected."""

    @property
    def reason(self) -> Reason:
        return Reason.HEARTBEAT_MISSED if self.rid is None else Reason.HEARTBEAT_OVERRUN


def deadline(wait: HeartbeatState, rhythm: Rhythm, interval: int) -> Deadline | None:
    """The next one: of the run that began first, or while none runs of the next signal. None: nothing came ever."""
    if wait.begun:
        oldest = min(wait.begun, key=lambda run: run.first)
        return Deadline(oldest.first + rhythm.max_runtime_ms, oldest.first, oldest.rid)
    if wait.anchor is None:
        return None
    expected = rhythm.expected_after(wait.anchor, interval)
    return Deadline(expected + rhythm.grace_ms, expected, None)


@dataclass(frozen=True)
class Heard:
    """What a signal did: the wait after it, and what it says of the job."""

    wait: HeartbeatState
    verdict: Verdict | None = None
    """None of a start and a log: they judge nothing."""
    runtime: int | None = None
    others: int = 0
    """Further runs that had begun and not ended."""


def on_ping(wait: HeartbeatState, signal: Signal, rid: str, at: int) -> Heard:
    mine = next((run for run in wait.begun if run.rid == rid), None)
    others = tuple(run for run in wait.begun if run is not mine)
    if signal == Signal.LOG:
        return Heard(wait, others=len(wait.begun))
    if signal == Signal.START:
        if mine is None and len(others) >= OPEN_LIMIT:
            return Heard(wait, others=len(others))
        run = OpenRun(rid, at, at) if mine is None else replace(mine, last=at)
        return Heard(replace(wait, begun=(*others, run)), others=len(others) + (mine is not None))
    runtime = None if mine is None else at - mine.last
    verdict = Verdict.UP if signal == Signal.SUCCESS else Verdict.DOWN
    return Heard(HeartbeatState(at, others), verdict, runtime, len(others))


def passed(wait: HeartbeatState, missed: Deadline) -> HeartbeatState:
    """After a deadline: an overrun is told once, and what was expected is counted on from when it should have come."""
    if missed.rid is None:
        return replace(wait, anchor=missed.expected)
    return HeartbeatState(missed.at, tuple(run for run in wait.begun if run.rid != missed.rid))


def resumed(wait: HeartbeatState, at: int) -> HeartbeatState:
    """After a pause: the time runs from then on, for what came meanwhile judged nothing."""
    return HeartbeatState() if wait.anchor is None else HeartbeatState(at)


def edited(wait: HeartbeatState, rhythm: Rhythm, interval: int, at: int) -> HeartbeatState:
    """Under a new rhythm nobody is late for what was due before; of a run that is on its way the end is waited for anew."""
    if wait.anchor is None:
        return HeartbeatState()
    due = deadline(HeartbeatState(wait.anchor), rhythm, interval)
    return HeartbeatState(at if wait.begun or due is None or due.at <= at else wait.anchor)


@dataclass(frozen=True)
class Preview:
    """The next times of a rhythm."""

    expected: int
    missing_from: int


def preview(rhythm: Rhythm, interval: int, *, after: int, count: int) -> list[Preview]:
    """As they come when every signal comes at its time."""
    times: list[Preview] = []
    for _ in range(count):
        after = rhythm.expected_after(after, interval)
        times.append(Preview(after, after + rhythm.grace_ms))
    return times
