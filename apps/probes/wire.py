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
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from apps.probes.reasons import Reason, Verdict

VERSION = 1
TASK = "probe.run"
INGEST_EXCHANGE = "ingest"
INGEST_ROUTING_KEY = "ingest"
BATCH = 100
"""Jobs in a message, and runs in a message, at the most."""
EXPIRES_MS = 5_000
"""A batch of jobs this old is not worth running."""
MAX_BODY = 8_000_000
_MAX_FACTS = 65_536
_MAX_MESSAGE = 2_000
_MAX_DEPTH = 12
_INT64 = 2**63 - 1


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
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise WireError(f"a job cannot be read: {error!r}") from error


@dataclass(frozen=True)
class Run:
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


def storable_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as the core takes them: what a target shows must never cost its verdict."""
    cleaned = _cleaned(facts, 0)
    if len(json.dumps(cleaned)) <= _MAX_FACTS:
        return dict(cleaned)
    return {name: cleaned[name] for name in ("phases_ms", "status", "address") if name in cleaned}


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


def run_body(run: Run) -> dict[str, Any]:
    reason = None if run.reason is None else {"code": run.reason.value, "message": _cleaned(run.message[:_MAX_MESSAGE], 0)}
    return {
        "check": str(run.check),
        "revision": run.revision,
        "slot": run.slot,
        "started_at": run.started_at,
        "duration_ms": run.duration_ms,
        "verdict": run.verdict.value,
        "reason": reason,
        "facts": storable_facts(run.facts),
    }


def parse_run(raw: Any) -> Run:
    """One row of a `runs` message, every part judged: regions are not trusted. Raises WireError."""
    if not isinstance(raw, dict):
        raise WireError("a run must be an object")
    reason, message = _reason(raw.get("reason"))
    facts = {} if raw.get("facts") is None else raw["facts"]
    if not isinstance(facts, dict):
        raise WireError("facts must be an object")
    _refuse_unstorable(facts)
    if len(json.dumps(facts)) > _MAX_FACTS:
        raise WireError(f"facts are larger than {_MAX_FACTS} bytes")
    try:
        check, verdict = uuid.UUID(raw["check"]), Verdict(raw["verdict"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"check or verdict is wrong: {error!r}") from error
    return Run(
        check=check,
        revision=_whole(raw, "revision", 2**31 - 1),
        slot=_whole(raw, "slot", _INT64),
        started_at=_whole(raw, "started_at", _INT64),
        duration_ms=_whole(raw, "duration_ms", 2**31 - 1),
        verdict=verdict,
        reason=reason,
        message=message,
        facts=facts,
    )


def _reason(raw: Any) -> tuple[Reason | None, str]:
    if raw is None:
        return None, ""
    try:
        reason, message = Reason(raw["code"]), raw.get("message") or ""
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"the reason is wrong: {error!r}") from error
    if not isinstance(message, str) or len(message) > _MAX_MESSAGE:
        raise WireError(f"the reason's message must be a text of at most {_MAX_MESSAGE} characters")
    _refuse_unstorable(message)
    return reason, message


def _whole(raw: Mapping[str, Any], name: str, most: int) -> int:
    value = raw.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise WireError(f"{name} must be a whole number from 0 to {most}")
    return value


def _refuse_unstorable(value: Any, depth: int = 0) -> None:
    """PostgreSQL's JSON takes no NUL, no lone surrogate, no NaN."""
    if depth > _MAX_DEPTH:
        raise WireError(f"facts are nested deeper than {_MAX_DEPTH}")
    if isinstance(value, str):
        if "\x00" in value:
            raise WireError("a text holds a NUL character")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise WireError("a text holds half a character (a lone surrogate)") from error
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise WireError("a number is not finite")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(key, depth + 1)
            _refuse_unstorable(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item, depth + 1)


def sign(body: str, *, region: str, region_key: str, sent_at: int) -> dict[str, Any]:
    """The envelope of a result message. `mac` covers exactly the string `body`."""
    mac = hmac.new(_derived(region_key, "sign"), body.encode(), hashlib.sha256).hexdigest()
    return {"v": VERSION, "region": region, "key_id": key_id(region_key), "sent_at": sent_at, "body": body, "mac": mac}


@dataclass(frozen=True)
class Envelope:
    region: str
    key_id: str
    sent_at: int
    body: str
    mac: str

    def is_signed_with(self, region_key: str) -> bool:
        expected = hmac.new(_derived(region_key, "sign"), self.body.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, self.mac)


def parse_envelope(raw: Any) -> Envelope:
    """The outer shape of a result message; the signature is not judged yet. Raises WireError."""
    if not isinstance(raw, dict) or raw.get("v") != VERSION:
        raise WireError("the message is not an envelope of this version")
    texts = {name: raw.get(name) for name in ("region", "key_id", "body", "mac")}
    for name, text in texts.items():
        if not isinstance(text, str) or "\x00" in text or len(text) > MAX_BODY:
            raise WireError(f"{name} must be a text")
        _refuse_unstorable(text)
    if not texts["mac"].isascii():  # type: ignore[union-attr]  # a text, by the loop above
        raise WireError("mac must be ASCII")
    return Envelope(sent_at=_whole(raw, "sent_at", _INT64), **texts)  # type: ignore[arg-type]  # texts, by the loop above


def parse_body(body: str) -> dict[str, Any]:
    """The inside of an envelope whose signature holds. Raises WireError."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the body is not JSON: {error}") from error
    if not isinstance(parsed, dict) or parsed.get("type") not in ("runs", "trial", "heartbeat"):
        raise WireError("the body has no known type")
    return parsed
