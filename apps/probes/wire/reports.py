"""Messages of a worker other than runs: heartbeats, answers to trials, and reports of a blocked event loop."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec

from apps.probes.wire.errors import WireError
from apps.probes.wire.runs import Run, encode_outcome, parse_run

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_Small = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Offset = Annotated[int, msgspec.Meta(gt=-(2**53), lt=2**53)]
_MAX_NAMES = 20
OUR_FAULTS = "fault"
"""Key in `Heartbeat.dropped` that counts runs which failed by an unexpected exception."""


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat", tag_field="type"):
    """Sent every five seconds by the event loop that runs the jobs."""

    is_settled: bool
    """Whether the worker knows the core's time well enough to run jobs."""
    offset_ms: _Offset
    in_flight: _Small
    dropped: dict[str, Any]
    """Numbers of dropped slots, by cause."""
    canaries: dict[str, bool] = {}
    lag_ms: _Small = 0
    pid: int = 0


class Standstill(msgspec.Struct, frozen=True, tag="standstill", tag_field="type"):
    """Sent by a worker before it ends itself because its event loop is blocked; names the running job if known."""

    stood_still_s: float
    stack: Annotated[str, msgspec.Meta(max_length=20_000)]
    check: uuid.UUID | None = None
    trial: uuid.UUID | None = None
    revision: int = 0
    slot: int = 0
    kind: str = ""


def encode_report(report: Heartbeat | Standstill) -> bytes:
    """Return the body of a message that contains only this report."""
    return msgspec.json.encode(report)


_HEARTBEAT = msgspec.json.Decoder(Heartbeat)
_STANDSTILL = msgspec.json.Decoder(Standstill)


def parse_heartbeat(body: str) -> Heartbeat:
    """Decode a heartbeat; names are limited in length and number, because workers are not trusted. Raises WireError."""
    try:
        report = _HEARTBEAT.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WireError(f"the heartbeat is malformed: {error}") from error
    dropped = {_storable(name, 40): count for name, count in list(report.dropped.items())[:_MAX_NAMES] if _is_count(count)}
    canaries = {_storable(name, 200): is_reached for name, is_reached in list(report.canaries.items())[:_MAX_NAMES]}
    return msgspec.structs.replace(report, dropped=dropped, canaries=canaries)


def _storable(name: str, length: int) -> str:
    return name[:length].replace("\x00", "\ufffd")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def parse_standstill(body: str) -> Standstill:
    """Decode the report of a blocked event loop. Raises WireError."""
    try:
        return _STANDSTILL.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WireError(f"the report of a standstill is malformed: {error}") from error


def encode_trial_answer(trial: str, run: Run) -> bytes:
    """Return the body of the answer to a trial: only the outcome, since a trial has neither check nor slot."""
    return msgspec.json.encode({"type": "trial", "trial": trial, **encode_outcome(run)})


class _TrialName(msgspec.Struct):
    trial: uuid.UUID


def parse_trial_answer(body: str) -> tuple[uuid.UUID, Run]:
    """Decode the answer to a trial; return the trial's id and the outcome as a run. Raises WireError."""
    try:
        name = msgspec.json.decode(body, type=_TrialName).trial
        fields = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WireError(f"the answer to a trial is malformed: {error}") from error
    as_run = {**fields, "check": name, "revision": 0, "slot": 0, "started_at": 0}
    return name, parse_run(msgspec.json.encode(as_run))
