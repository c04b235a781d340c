"""Blocking HTTP requests to URLs given by tenants (webhooks), subject to the address policy.

Credentials in the URL are sent as Basic authentication. libcurl resolves the name itself; because the policy is applied
to the address of each socket, DNS rebinding cannot circumvent it. Redirects are not followed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

import certifi
import pycurl

from apps.net.address_policy import AddressPolicy
from apps.net.errors import NetError
from apps.net.gate import socket_opener
from apps.net.hosts import sendable
from apps.net.request import USER_AGENT

_ANSWER_CAP = 65_536


@dataclass
class Answer:
    """The response to a request; `status` is 0 if there was none."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """Names are in lower case; of repeated headers the last one is kept."""
    body: bytes = b""


def post(url: str, *, body: bytes, headers: dict[str, str], timeout_s: float, policy: AddressPolicy, ca_file: str = "") -> Answer:
    """POST `body` and return the response, its body cut at 64 KiB. Raises NetError if there was no response."""
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
        if not (status and error.args[0] == pycurl.E_WRITE_ERROR):  # the body was cut at the limit: still a response
            raise NetError("connect_refused" if error.args[0] == 7 else "connection_closed", error.args[1]) from error
    else:
        status = curl.getinfo(pycurl.RESPONSE_CODE)
    finally:
        curl.close()
    answer.status = status
    answer.body = b"".join(chunks)[:_ANSWER_CAP]
    return answer
