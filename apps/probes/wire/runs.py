"""Runs from a probe worker to the core: rows of a `runs` message, each validated separately."""

from __future__ import annotations

import math
import uuid
from typing import Annotated, Any

import msgspec

from apps.probes.reasons import Reason, Verdict
from apps.probes.wire.errors import WireError

MAX_RUNS = 400
"""Runs in one message."""
_MAX_FACTS = 65_536
_MAX_MESSAGE = 2_000
_MAX_DEPTH = 12


class Run(msgspec.Struct, frozen=True, gc=False):
    """What a worker observed for one check and slot."""

    check: uuid.UUID
    revision: int
    slot: int
    started_at: int
    duration_ms: int
    verdict: Verdict
    reason: Reason | None
    message: str
    facts: dict[str, Any]


_Revision = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _ReasonGiven(msgspec.Struct, gc=False):
    code: Reason
    message: Annotated[str, msgspec.Meta(max_length=_MAX_MESSAGE)] | None = None


class _Row(msgspec.Struct, gc=False):
    """The wire format of a run."""

    check: uuid.UUID
    revision: _Revision
    slot: Milliseconds
    started_at: Milliseconds
    duration_ms: _Revision
    verdict: Verdict
    reason: _ReasonGiven | None = None
    facts: dict[str, Any] | None = None


_ROW = msgspec.json.Decoder(_Row)


def storable_facts(facts: dict[str, Any]) -> bytes:
    """Encode facts as JSON that the core accepts.

    Values that PostgreSQL cannot store are replaced, and facts that are too large reduced, so that the verdict is never
    lost because of them.
    """
    try:
        encoded = msgspec.json.encode(facts)
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
        encoded = b""
    if not encoded or _is_doubtful(encoded):
        facts = dict(_cleaned(facts, 0))
        encoded = msgspec.json.encode(facts)
    if len(encoded) <= _MAX_FACTS:
        return encoded
    return msgspec.json.encode({name: facts[name] for name in ("phases_ms", "status", "address") if name in facts})


def _cleaned(value: Any, depth: int) -> Any:
    """Replace NUL characters, non-finite numbers, unknown types and values that are nested too deeply."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if depth >= _MAX_DEPTH - 1:
        return None if isinstance(value, (dict, list)) else value
    if isinstance(value, dict):
        return {_cleaned(str(name), depth): _cleaned(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item, depth + 1) for item in value]
    return value if isinstance(value, (int, float, bool)) or value is None else str(value)


def encode_run(run: Run) -> bytes:
    """Return a run as a row of a `runs` message."""
    name = {"check": run.check, "revision": run.revision, "slot": run.slot, "started_at": run.started_at}
    return msgspec.json.encode({**name, **encode_outcome(run)})


def encode_outcome(run: Run) -> dict[str, Any]:
    """Return the outcome of a run as JSON data, without its check, revision and slot."""
    reason = None if run.reason is None else {"code": run.reason, "message": _cleaned(run.message[:_MAX_MESSAGE], 0)}
    facts = msgspec.Raw(storable_facts(run.facts))
    return {"duration_ms": run.duration_ms, "verdict": run.verdict, "reason": reason, "facts": facts}


def parse_run(raw: bytes) -> Run:
    """Decode and validate one row of a `runs` message; workers are not trusted. Raises WireError."""
    try:
        row = _ROW.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WireError(f"the run is malformed: {error}") from error
    facts, message = row.facts or {}, ""
    if len(raw) > _MAX_FACTS and len(msgspec.json.encode(facts)) > _MAX_FACTS:
        raise WireError(f"facts are larger than {_MAX_FACTS} bytes")
    if row.reason is not None:
        message = row.reason.message or ""
    if _is_doubtful(raw):
        _refuse_unstorable(facts)
        _refuse_unstorable(message)
    reason = None if row.reason is None else row.reason.code
    return Run(row.check, row.revision, row.slot, row.started_at, row.duration_ms, row.verdict, reason, message, facts)


def _is_doubtful(encoded: bytes) -> bool:
    """Tell whether the JSON may contain a NUL, which PostgreSQL rejects, or too deep nesting; a cheap estimate."""
    return b"\\u0000" in encoded or encoded.count(b"{") + encoded.count(b"[") > _MAX_DEPTH


def _refuse_unstorable(value: Any, depth: int = 0) -> None:
    """Raise WireError for a NUL character or too deep nesting."""
    if depth > _MAX_DEPTH:
        raise WireError(f"facts are nested deeper than {_MAX_DEPTH}")
    if isinstance(value, str):
        if "\x00" in value:
            raise WireError("a text holds a NUL character")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(key, depth + 1)
            _refuse_unstorable(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item, depth + 1)
