"""The messages between core and probe workers: jobs out, signed results back. Old and new understand each other.

Core and worker share one key per region; sealing (secrets in jobs) and signing (results) use keys derived from it (HKDF, RFC
5869). Times are integer epoch milliseconds of the core's clock.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from apps.probes.reasons import Reason, Verdict

VERSION = 1
TASK = "probe.run"
INGEST_EXCHANGE = "ingest"
INGEST_ROUTING_KEY = "ingest"
BATCH, RUNS = 100, 400
"""Jobs in a message, and runs in a message, at the most."""
EXPIRES_MS = 5_000
"""A batch of jobs this old is not worth running."""
MAX_BODY = 8_000_000
_MAX_FACTS = 65_536
_MAX_MESSAGE = 2_000
_MAX_DEPTH = 12


class WireError(ValueError):
    """A message or row that cannot be taken; the text says why."""


def queue_of(region: str) -> str:
    return f"probe.{region}"


def new_region_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def key_id(region_key: str) -> str:
    """Names a key without telling it."""
    return hashlib.sha256(region_key.encode()).hexdigest()[:16]


@lru_cache(maxsize=1024)
def _derived(region_key: str, use: str) -> bytes:
    secret = base64.urlsafe_b64decode(region_key)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"goruptime/{use}/1".encode()).derive(secret)


def seal(secrets: Mapping[str, Any], *, region_key: str, check: str, revision: int, region: str) -> str:
    """Secret options for one revision of a check in one region, AES-256-GCM, base64."""
    nonce = os.urandom(12)
    text = json.dumps(secrets).encode()
    sealed = AESGCM(_derived(region_key, "seal")).encrypt(nonce, text, _associated(check, revision, region))
    return base64.b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, region_key: str, check: str, revision: int, region: str) -> dict[str, Any]:
    """Raises WireError when the seal is for another check, revision or region, or was made with another key."""
    try:
        raw = base64.b64decode(sealed, validate=True)
        text = AESGCM(_derived(region_key, "seal")).decrypt(raw[:12], raw[12:], _associated(check, revision, region))
    except (InvalidTag, ValueError) as error:
        raise WireError("the sealed options cannot be opened with this region's key") from error
    opened: dict[str, Any] = json.loads(text)
    return opened


def _associated(check: str, revision: int, region: str) -> bytes:
    return f"{check}|{revision}|{region}".encode()


@dataclass(frozen=True)
class Job:
    """One run to make. A trial has `trial` instead of check and slot and steps nothing."""

    check: str
    revision: int
    slot: int
    kind: str
    target: str
    options: dict[str, Any]
    timeout_ms: int
    baseline: dict[str, Any] | None = None
    trial: str | None = None
    retries: int = 0
    """Further attempts within the run, where one may help."""
    tenant: str = ""
    """Whose it is: nothing but what takes turns."""


def parse_job(raw: Mapping[str, Any], *, region_key: str, region: str) -> Job:
    """A job as the worker runs it, its secrets opened. Raises WireError."""
    try:
        trial = raw.get("trial")
        job_check = str(raw["check"]) if trial is None else str(trial)
        revision = int(raw.get("revision", 0))
        options = dict(raw["options"])
        sealed = options.pop("sealed", None)
        if sealed is not None:
            options |= unseal(sealed, region_key=region_key, check=job_check, revision=revision, region=region)
        retries = int(options.pop("retries", 0))
        return Job(
            check=job_check,
            revision=revision,
            slot=int(raw["slot"]) if trial is None else 0,
            kind=str(raw["kind"]),
            target=str(raw["target"]),
            options=options,
            timeout_ms=int(raw["timeout_ms"]),
            baseline=raw.get("baseline"),
            trial=trial,
            retries=retries,
            tenant=str(raw.get("tenant", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise WireError(f"a job cannot be read: {error!r}") from error


class Run(msgspec.Struct, frozen=True, gc=False):
    """What a worker saw in one slot."""

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
_Moment = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Why(msgspec.Struct, gc=False):
    code: Reason
    message: Annotated[str, msgspec.Meta(max_length=_MAX_MESSAGE)] | None = None


class _Row(msgspec.Struct, gc=False):
    """A run as it travels."""

    check: uuid.UUID
    revision: _Revision
    slot: _Moment
    started_at: _Moment
    duration_ms: _Revision
    verdict: Verdict
    reason: _Why | None = None
    facts: dict[str, Any] | None = None


_ROW = msgspec.json.Decoder(_Row)


def storable_facts(facts: dict[str, Any]) -> bytes:
    """Facts as the core takes them, as JSON: what a target shows must never cost its verdict."""
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
    """A row of a `runs` message."""
    reason = None if run.reason is None else {"code": run.reason, "message": _cleaned(run.message[:_MAX_MESSAGE], 0)}
    return msgspec.json.encode(
        {
            "check": run.check,
            "revision": run.revision,
            "slot": run.slot,
            "started_at": run.started_at,
            "duration_ms": run.duration_ms,
            "verdict": run.verdict,
            "reason": reason,
            "facts": msgspec.Raw(storable_facts(run.facts)),
        }
    )


def parse_run(raw: bytes) -> Run:
    """One row of a `runs` message, every part judged: regions are not trusted. Raises WireError."""
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
    """Whether it may hold what PostgreSQL's JSON does not take: a NUL, or a nesting that is too deep. A quick look."""
    return b"\\u0000" in encoded or encoded.count(b"{") + encoded.count(b"[") > _MAX_DEPTH


def _refuse_unstorable(value: Any, depth: int = 0) -> None:
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


def runs_body(rows: Sequence[bytes]) -> bytes:
    """The body of a message of runs, each as `encode_run` made it."""
    return b'{"type":"runs","runs":[' + b",".join(rows) + b"]}"


_Version = Annotated[int, msgspec.Meta(ge=VERSION, le=VERSION)]


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """The outer shape of a result message. `mac` covers exactly the text `body`."""

    v: _Version
    region: str
    key_id: str
    sent_at: _Moment
    body: Annotated[str, msgspec.Meta(max_length=MAX_BODY)]
    mac: str

    def is_signed_with(self, region_key: str) -> bool:
        return hmac.compare_digest(_mac(self.body.encode(), region_key), self.mac.encode())


_ENVELOPE = msgspec.json.Decoder(Envelope)


def _mac(body: bytes, region_key: str) -> bytes:
    return hmac.digest(_derived(region_key, "sign"), body, "sha256").hex().encode()


def sign(body: bytes, *, region: str, region_key: str, sent_at: int) -> bytes:
    """A result message, as it goes to the broker."""
    mac = _mac(body, region_key).decode()
    return msgspec.json.encode(Envelope(VERSION, region, key_id(region_key), sent_at, body.decode(), mac))


def parse_envelope(raw: bytes) -> Envelope:
    """The outer shape of a result message; the signature is not judged yet. Raises WireError."""
    try:
        envelope = _ENVELOPE.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WireError(f"the message is not an envelope of this version: {error}") from error
    if "\x00" in envelope.region:
        raise WireError("region holds a NUL character")
    return envelope


class _Body(msgspec.Struct, gc=False):
    type: Literal["runs", "trial", "heartbeat"]
    runs: list[msgspec.Raw] = []


_BODY = msgspec.json.Decoder(_Body)


@dataclass(frozen=True)
class Body:
    """The inside of an envelope: the rows of `runs`, or the fields of the others."""

    type: str
    rows: Sequence[bytes]
    fields: Mapping[str, Any]


def parse_body(text: str) -> Body:
    """The inside of an envelope whose signature holds. Raises WireError."""
    try:
        body = _BODY.decode(text)
        if body.type == "runs":
            return Body(body.type, [bytes(row) for row in body.runs], {})
    except (msgspec.MsgspecError, RecursionError):
        pass  # Python's reader takes what JSON does not (NaN): one such row must not cost the others
    return _body_of_any(text)


def _body_of_any(text: str) -> Body:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the body is not JSON: {error}") from error
    if not isinstance(parsed, dict) or parsed.get("type") not in ("runs", "trial", "heartbeat"):
        raise WireError("the body has no known type")
    rows = parsed.get("runs", [])
    if not isinstance(rows, list):
        raise WireError("runs must be a list")
    return Body(parsed["type"], [json.dumps(row).encode() for row in rows], parsed)
