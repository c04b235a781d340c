"""The signed envelope of a worker's messages: plain JSON, authenticated by HMAC-SHA256 with the region's key.

The signature covers every field that is trusted, including `sent_at` and `sequence`, so that a replayed message has no
effect.
"""

from __future__ import annotations

import hmac
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from apps.probes.wire.errors import WireError
from apps.probes.wire.keys import derive_key, key_id
from apps.probes.wire.runs import Milliseconds

RESULTS_VERSION = 2
INGEST_EXCHANGE = "ingest"
INGEST_ROUTING_KEY = "ingest"
MAX_BODY = 8_000_000

BodyType = Literal["runs", "trial", "heartbeat", "standstill"]
_TYPES: tuple[BodyType, ...] = ("runs", "trial", "heartbeat", "standstill")
_Version = Annotated[int, msgspec.Meta(ge=RESULTS_VERSION, le=RESULTS_VERSION)]
_Name = Annotated[str, msgspec.Meta(pattern=r"\A[\w-]{1,40}\Z")]


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """The outer structure of a result message. `mac` covers all other fields."""

    v: _Version
    region: _Name
    key_id: _Name
    worker: _Name
    """Random name that the worker process chose at its start."""
    sequence: Milliseconds
    """Increases with every message of that process."""
    sent_at: Milliseconds
    body: Annotated[str, msgspec.Meta(max_length=MAX_BODY)]
    mac: str

    def is_signed_with(self, region_key: str) -> bool:
        """Tell whether the signature is valid for this region key (compared in constant time)."""
        return hmac.compare_digest(_mac(self, region_key).encode(), self.mac.encode())


_ENVELOPE = msgspec.json.Decoder(Envelope)


def _mac(envelope: Envelope, region_key: str) -> str:
    """Return the hexadecimal HMAC-SHA256 of an envelope."""
    fields = (envelope.v, envelope.region, envelope.key_id, envelope.worker, envelope.sequence, envelope.sent_at)
    signed = "|".join(map(str, fields)).encode() + b"\n" + envelope.body.encode()
    return hmac.digest(derive_key(region_key, "sign"), signed, "sha256").hex()


class Signer:
    """Signs and numbers the messages of one worker process."""

    def __init__(self, region: str, region_key: str, worker: str) -> None:
        self._region = region
        self._region_key = region_key
        self._worker = worker
        self._key_id = key_id(region_key)
        self._numbers = itertools.count(1)

    def sign(self, body: bytes, *, sent_at: int) -> bytes:
        """Return a signed message, encoded for the broker."""
        unsigned = Envelope(
            RESULTS_VERSION, self._region, self._key_id, self._worker, next(self._numbers), sent_at, body.decode(), ""
        )
        return msgspec.json.encode(msgspec.structs.replace(unsigned, mac=_mac(unsigned, self._region_key)))


def parse_envelope(raw: bytes) -> Envelope:
    """Decode the outer structure of a result message without checking its signature. Raises WireError."""
    try:
        return _ENVELOPE.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WireError(f"the message is not an envelope of this version: {error}") from error


class _Body(msgspec.Struct, gc=False):
    type: BodyType
    runs: list[msgspec.Raw] = []


_BODY = msgspec.json.Decoder(_Body)


@dataclass(frozen=True)
class Body:
    """The decoded content of an envelope.

    `rows` are the encoded runs of a `runs` message; other types are decoded from `text`.
    """

    type: BodyType
    rows: Sequence[bytes]
    text: str


def runs_body(rows: Sequence[bytes]) -> bytes:
    """Return the body of a `runs` message from rows encoded by `encode_run`."""
    return b'{"type":"runs","runs":[' + b",".join(rows) + b"]}"


def parse_body(text: str) -> Body:
    """Decode the content of an envelope whose signature has been checked. Raises WireError."""
    try:
        body = _BODY.decode(text)
        return Body(body.type, [bytes(row) for row in body.runs], text)
    except (msgspec.MsgspecError, RecursionError):
        return _parse_leniently(text)


def _parse_leniently(text: str) -> Body:
    """Decode with Python's parser, which accepts NaN, so that one invalid row does not cost the others."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the body is not JSON: {error}") from error
    if not isinstance(parsed, dict) or parsed.get("type") not in _TYPES:
        raise WireError("the body has no known type")
    rows = parsed.get("runs", [])
    if not isinstance(rows, list):
        raise WireError("runs must be a list")
    return Body(parsed["type"], [json.dumps(row).encode() for row in rows], text)
