"""Parsing of requests to `/ping/…`, in the format of healthchecks.io. No database access.

Signals: none (success), `/start`, `/fail`, `/log` or `/<exit code>`; `?rid=<uuid>` tells concurrent runs of a job
apart; the body is stored.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from apps.core.client_address import address_in
from apps.incidents.heartbeat_machine import Signal
from apps.incidents.services.heartbeat_transition import Ping
from apps.probes.kinds.heartbeat import SLUG
from apps.results.stored_pings import BODY_BYTES

PREFIX = "/ping/"
METHODS = ("GET", "HEAD", "POST")
_BY_ID = re.compile(r"([0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})(?:/([a-z]+|[0-9]+))?/?", re.ASCII)
_BY_SLUG = re.compile(r"([\w-]{22})/([^/]+?)(?:/([a-z]+|[0-9]+))?/?", re.ASCII)
_SIGNALS = {"": Signal.SUCCESS, "start": Signal.START, "fail": Signal.FAIL, "log": Signal.LOG}
_RUN_ID = re.compile(r"[0-9a-fA-F]{8}(-?)(?:[0-9a-fA-F]{4}\1){3}[0-9a-fA-F]{12}", re.ASCII)
_MAX_EXIT_CODE = 255


class BadPingError(ValueError):
    """The request is not a valid ping. `status` is the HTTP status of the response."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class PingRequest:
    """A ping, addressed by the heartbeat's own address or by the project's ping key and a slug."""

    ping: Ping
    address: uuid.UUID | None
    key: str = ""
    slug: str = ""
    may_create: bool = False
    """Whether an unknown slug creates a heartbeat (`?create=1`)."""


def read_ping(environ: Mapping[str, Any]) -> PingRequest | None:
    """Return the ping of a completely read request; None if the path is no ping address. Raises BadPingError."""
    path = str(environ["PATH_INFO"]).removeprefix(PREFIX)
    by_id, by_slug = _BY_ID.fullmatch(path), _BY_SLUG.fullmatch(path)
    if by_id is None and by_slug is None:
        return None
    if environ["REQUEST_METHOD"] not in METHODS:
        raise BadPingError("GET, HEAD and POST only", 405)
    query = parse_qs(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
    if by_id is not None:
        return PingRequest(_ping(environ, by_id[2] or "", query), uuid.UUID(by_id[1]))
    assert by_slug is not None
    key, slug, signal = by_slug.groups()
    if not SLUG.match(slug):
        raise BadPingError("invalid slug")
    return PingRequest(_ping(environ, signal or "", query), None, key, slug, may_create=query.get("create") == ["1"])


def _ping(environ: Mapping[str, Any], signal: str, query: Mapping[str, list[str]]) -> Ping:
    code = int(signal) if signal.isdigit() and len(signal) <= 3 else None
    kind = _SIGNALS.get(signal)
    if code is not None:
        kind = Signal.FAIL if code else Signal.SUCCESS
    if kind is None or (code is not None and code > _MAX_EXIT_CODE):
        raise BadPingError("invalid url format")
    rid = query.get("rid", [""])[-1]
    if rid:
        if not _RUN_ID.fullmatch(rid):
            raise BadPingError("invalid uuid format")
        rid = str(uuid.UUID(rid))
    body: bytes = environ["wsgi.input"].read(BODY_BYTES)
    return Ping(
        signal=kind,
        method=str(environ["REQUEST_METHOD"]),
        agent=str(environ.get("HTTP_USER_AGENT", ""))[:200].replace("\x00", ""),
        address=address_in(environ)[:45],
        rid=rid,
        exit_code=code,
        body=body.decode(errors="replace").replace("\x00", "\ufffd"),
    )
