"""Guarded calls to URLs that tenants gave us (webhooks), for callers without an event loop.

User name and password of a URL are sent as Basic authentication.

libcurl resolves here (a call at a time needs no resolver of its own); the guard sees the very address of every socket, so a
name cannot be rebound. Redirects are not followed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

import certifi
import pycurl

from apps.net.errors import NetError
from apps.net.gate import socket_opener
from apps.net.guard import AddressPolicy, sendable
from apps.net.request import USER_AGENT

_ANSWER_CAP = 65_536


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case; the last of a name wins."""
    body: bytes = b""


def post(url: str, *, body: bytes, headers: dict[str, str], timeout_s: float, policy: AddressPolicy, ca_file: str = "") -> Answer:
    """POST `body` and read the answer. Raises NetError when no answer came."""
    answer = Answer()
    chunks: list[bytes] = []
    blocked: list[str] = []

    def on_header(line: bytes) -> None:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            answer.headers[name.strip().lower()] = value.strip()

    def on_body(chunk: bytes) -> int | None:
        chunks.append(chunk)
        return -1 if sum(map(len, chunks)) > _ANSWER_CAP else None

    curl = pycurl.Curl()
    try:
        curl.setopt(pycurl.URL, sendable(url))
        parts = urlsplit(url)
        if parts.username is not None:
            curl.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_BASIC)
            curl.setopt(pycurl.USERNAME, unquote_to_bytes(parts.username))
            curl.setopt(pycurl.PASSWORD, unquote_to_bytes(parts.password or ""))
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.POSTFIELDS, body)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        curl.setopt(pycurl.HTTPHEADER, [*lines, f"User-Agent: {USER_AGENT}", "Expect:"])
        curl.setopt(pycurl.TIMEOUT_MS, int(timeout_s * 1000))
        curl.setopt(pycurl.CAINFO, os.fsencode(ca_file or certifi.where()))
        curl.setopt(pycurl.HEADERFUNCTION, on_header)
        curl.setopt(pycurl.WRITEFUNCTION, on_body)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, socket_opener(policy, blocked))
        curl.perform()
    except pycurl.error as error:
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        if blocked:
            raise NetError("blocked_address", "the host leads to an address that this deployment does not call") from error
        if not (status and error.args[0] == pycurl.E_WRITE_ERROR):  # an endless answer is still an answer
            raise NetError("connect_refused" if error.args[0] == 7 else "connection_closed", error.args[1]) from error
    else:
        status = curl.getinfo(pycurl.RESPONSE_CODE)
    finally:
        curl.close()
    answer.status = status
    answer.body = b"".join(chunks)[:_ANSWER_CAP]
    return answer
