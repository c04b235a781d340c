"""The state machine of heartbeats: turns signals and missed deadlines into rounds, which `machine.step` judges.

Pure: standard library and the probes' reasons only; times are epoch milliseconds of the core's clock; no clock, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from apps.probes.contract import PassiveSchedule
from apps.probes.reasons import Reason, Verdict

OPEN_LIMIT = 20
"""Runs tracked at the same time. A further start is received, but its runtime is not measured."""


class Signal(StrEnum):
    SUCCESS = "success"
    START = "start"
    FAIL = "fail"
    LOG = "log"


@dataclass(frozen=True)
class OpenRun:
    """A run of the job that has started and not finished."""

    rid: str
    """The run id that the job sent; empty if it sends none."""
    first: int
    """Time of the first start signal. The runtime limit counts from here, so repeated starts do not extend it."""
    last: int
    """Time of the latest start signal; the runtime is measured from here."""


@dataclass(frozen=True)
class HeartbeatState:
    anchor: int | None = None
    """Time from which the next expected signal is computed; None before the first signal, which is never late."""
    begun: tuple[OpenRun, ...] = ()

    def stored(self) -> dict[str, Any]:
        return {"anchor": self.anchor, "begun": [[run.rid, run.first, run.last] for run in self.begun]}

    @classmethod
    def read(cls, stored: dict[str, Any] | None) -> HeartbeatState:
        """Return the state that `stored` gave; a new one for None."""
        if stored is None:
            return cls()
        return cls(stored["anchor"], tuple(OpenRun(*run) for run in stored["begun"]))


@dataclass(frozen=True)
class Deadline:
    """The last moment for something expected; a signal in that very millisecond is in time."""

    at: int
    expected: int
    """When the signal was expected or, for an overrun, when the run started."""
    rid: str | None
    """Id of the run that must not take longer; None if any signal was expected."""

    @property
    def reason(self) -> Reason:
        return Reason.HEARTBEAT_MISSED if self.rid is None else Reason.HEARTBEAT_OVERRUN


def deadline(wait: HeartbeatState, rhythm: PassiveSchedule, interval: int) -> Deadline | None:
    """Return the next deadline: that of the oldest open run, else of the next signal; None before the first signal."""
    if wait.begun:
        oldest = min(wait.begun, key=lambda run: run.first)
        return Deadline(oldest.first + rhythm.max_runtime_ms, oldest.first, oldest.rid)
    if wait.anchor is None:
        return None
    expected = rhythm.expected_after(wait.anchor, interval)
    return Deadline(expected + rhythm.grace_ms, expected, None)


@dataclass(frozen=True)
class Heard:
    """The effect of a signal: the state after it, and what it says about the job."""

    wait: HeartbeatState
    verdict: Verdict | None = None
    """None for start and log signals, which do not judge the job."""
    runtime: int | None = None
    others: int = 0
    """Other runs that have started and not finished."""


def on_ping(wait: HeartbeatState, signal: Signal, rid: str, at: int) -> Heard:
    """Return the effect of a signal that was received at `at` (epoch ms) for the run `rid`."""
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
    """Return the state after a missed deadline.

    An overrunning run is removed, so that it is reported once; otherwise the time of the missed signal becomes the
    anchor.
    """
    if missed.rid is None:
        return replace(wait, anchor=missed.expected)
    return HeartbeatState(missed.at, tuple(run for run in wait.begun if run.rid != missed.rid))


def resumed(wait: HeartbeatState, at: int) -> HeartbeatState:
    """Return the state after a pause that ended at `at`: waiting starts anew from there, open runs are forgotten."""
    return HeartbeatState() if wait.anchor is None else HeartbeatState(at)


def edited(wait: HeartbeatState, rhythm: PassiveSchedule, interval: int, at: int) -> HeartbeatState:
    """Return the state after an edit at `at`: open runs are forgotten, and no deadline lies in the past.

    The anchor moves to `at` if a run was open or the deadline under the new rhythm has passed; otherwise it is kept.
    """
    if wait.anchor is None:
        return HeartbeatState()
    due = deadline(HeartbeatState(wait.anchor), rhythm, interval)
    return HeartbeatState(at if wait.begun or due is None or due.at <= at else wait.anchor)


@dataclass(frozen=True)
class Preview:
    """An expected time of a rhythm, and the moment after which the signal counts as missing (epoch ms)."""

    expected: int
    missing_from: int


def preview(rhythm: PassiveSchedule, interval: int, *, after: int, count: int) -> list[Preview]:
    """Return the next `count` expected times after `after`, assuming that every signal arrives on time."""
    times: list[Preview] = []
    for _ in range(count):
        after = rhythm.expected_after(after, interval)
        times.append(Preview(after, after + rhythm.grace_ms))
    return times
