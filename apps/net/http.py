"""One HTTP exchange on a fresh, guarded connection, through libcurl.

We resolve and judge the addresses; libcurl is given a literal (`CONNECT_TO`) and asks us once more for every socket
(`OPENSOCKETFUNCTION`). Redirects are the caller's: each hop is an exchange of its own. libcurl parses the CA bundle once per
multi handle and file, so there is one multi per file.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import certifi
import pycurl

from apps.net.errors import NetError
from apps.net.failures import NEXT_ADDRESS, Transfer, of_curl, telling
from apps.net.guard import AddressPolicy, canonical_host, sendable
from apps.net.resolver import Family, Resolver
from apps.net.stream import PUBLIC, Trust

MIN_CURL = (8, 23)  # older ones join a hung resolver thread inside the loop
USER_AGENT = "GoUpTime/1"
_BACKSTOP_S = 0.25  # libcurl's own deadline comes first: it leaves the phases readable


@dataclass(frozen=True)
class Request:
    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    login: tuple[str, str, str] | None = None
    """(`basic` or `digest`, user name, password)."""
    http_version: str = "auto"
    """`1.1` offers nothing newer."""
    verify_tls: bool = True
    family: Family = "auto"
    keep_bytes: int = 65_536
    """Of the decoded body, what is kept; up to `max_bytes` is read."""
    max_bytes: int = 1 << 20
    trust: Trust = PUBLIC


@dataclass
class Response:
    """What was seen, also when it ended badly: `error` then says how."""

    url: str
    address: str = ""
    status: int = 0
    http_version: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    size: int = 0
    is_capped: bool = False
    phases_ms: dict[str, float] = field(default_factory=dict)
    certificates: list[str] = field(default_factory=list)
    """The presented chain as PEM, the leaf first; filled also when verification failed."""
    error: NetError | None = None

    def header(self, name: str) -> str | None:
        """The first header of that name (case-insensitive)."""
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass
class _Intake:
    """What libcurl's callbacks fill while a transfer runs."""

    request: Request
    lines: list[bytes] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    kept: int = 0
    size: int = 0
    blocked: list[str] = field(default_factory=list)

    def on_header(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):  # the final answer follows after 1xx ones
            self.lines.clear()
        self.lines.append(line)

    def on_body(self, chunk: bytes) -> int | None:
        self.size += len(chunk)
        if self.kept < self.request.keep_bytes:
            self.chunks.append(chunk[: self.request.keep_bytes - self.kept])
            self.kept += len(self.chunks[-1])
        return -1 if self.size > self.request.max_bytes else None


class HttpEngine:
    """All exchanges of one event loop. Close it before the loop ends."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver, ca_file: str = "") -> None:
        version = tuple(int(part) for part in pycurl.version_info()[1].split(".")[:2])
        if version < MIN_CURL:
            raise RuntimeError(f"libcurl {version} is too old, {MIN_CURL} is the oldest that may be used")
        self._policy = policy
        self._resolver = resolver
        self._ca_file = ca_file or certifi.where()
        self._roots = Path(ca_file).read_text() if ca_file else ""
        self._multis: dict[str, pycurl.AsyncCurlMulti] = {}
        self._free: list[pycurl.Curl] = []

    async def exchange(self, request: Request, until: float) -> Response:
        """Send one request and read its answer; `until` is on the loop's clock. Never raises for what the target does."""
        loop = asyncio.get_running_loop()
        url = urlsplit(request.url)
        response = Response(request.url)
        started = loop.time()
        try:
            addresses = await self._guarded_addresses(canonical_host(url.hostname or ""), request.family, until - started)
        except NetError as error:
            response.error = error
            response.phases_ms = {"dns": (loop.time() - started) * 1000}
            return response
        dns_ms = (loop.time() - started) * 1000
        first_failure: NetError | None = None
        for tried, address in enumerate(addresses, start=1):
            response = Response(request.url, address)
            left = until - loop.time()
            # A black hole must leave time for the addresses behind it.
            connect_s = left / (len(addresses) - tried + 1)
            await self._transfer(request, url, response, left, connect_s)
            response.phases_ms = {"dns": dns_ms, **response.phases_ms}
            if response.error is None or response.error.code not in NEXT_ADDRESS or until <= loop.time():
                return response
            first_failure = telling(first_failure, response.error)
        response.error = first_failure
        return response

    async def close(self) -> None:
        for multi in self._multis.values():
            await multi.aclose()
        self._multis.clear()
        while self._free:
            self._free.pop().close()

    async def _guarded_addresses(self, host: str, family: Family, timeout_s: float) -> Sequence[str]:
        addresses = await self._resolver.resolve(host, family, timeout_s)
        refused = [address for address in addresses if not self._policy.permits(address)]
        if refused:  # one refused address refuses the name: the next answer might hold only that one
            raise NetError("blocked_address", f"{host} leads to {refused[0]}, an address this deployment does not probe")
        return addresses

    def _seen(self, request: Request, url: SplitResult, response: Response, left_s: float, connect_s: float) -> Transfer:
        is_tls = url.scheme == "https"
        where = f"{response.address}:{url.port or (443 if is_tls else 80)}"
        roots = request.trust.roots or self._roots
        return Transfer(where, is_tls, response.certificates, roots, response.size, left_s, connect_s)

    async def _transfer(self, request: Request, url: SplitResult, response: Response, left_s: float, connect_s: float) -> None:
        if left_s <= 0:
            response.error = NetError("connect_timeout", "the time was up before a connection was tried")
            return
        # libcurl keeps a parsed file with its multi handle, and a text never.
        cached = "" if request.trust.roots else self._ca_file
        multi = self._multis.get(cached)
        if multi is None:
            multi = self._multis[cached] = pycurl.AsyncCurlMulti()
        intake = _Intake(request)
        curl = self._free.pop() if self._free else pycurl.Curl()
        _configure(curl, request, url, response.address, self._ca_file)
        curl.setopt(pycurl.TIMEOUT_MS, max(1, int(left_s * 1000)))
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, int(connect_s * 1000)))
        curl.setopt(pycurl.HEADERFUNCTION, intake.on_header)
        curl.setopt(pycurl.WRITEFUNCTION, intake.on_body)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, socket_opener(self._policy, intake.blocked))
        failure: tuple[int, str] | None = None
        async with asyncio.timeout(left_s + _BACKSTOP_S):
            try:
                await multi.perform(curl)
            except pycurl.error as error:
                failure = (error.args[0], error.args[1])
        # A cancelled transfer leaves above: the multi still holds the handle, which must not be used again.
        _read(curl, url, intake, response)
        if intake.blocked:
            response.error = NetError("blocked_address", f"the connection went to {intake.blocked[0]}, which is refused")
        elif failure and not response.is_capped:
            response.error = of_curl(curl, failure, self._seen(request, url, response, left_s, connect_s))
        curl.reset()
        self._free.append(curl)


class GuardedSocket:
    """What libcurl gets for a connection: a socket, if the very address that it asks for is permitted.

    pycurl duplicates the descriptor, so ours is closed as soon as it lets go of this object.
    """

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        self._sock = socket.socket(family, kind, protocol)

    def fileno(self) -> int:
        return self._sock.fileno()

    def __del__(self) -> None:
        self._sock.close()


SocketAddress = tuple[int, int, int, tuple[str | bytes, int]]
"""(family, type, protocol, (address, port))"""


def socket_opener(policy: AddressPolicy, blocked: list[str]) -> Callable[[int, SocketAddress], GuardedSocket | int]:
    """For OPENSOCKETFUNCTION: the last gate. A refused address is noted in `blocked`."""

    def opened(_purpose: int, address: SocketAddress) -> GuardedSocket | int:
        host = address[3][0]
        text = host.decode() if isinstance(host, bytes) else host
        if not policy.permits(text):
            blocked.append(text)
            return int(pycurl.SOCKET_BAD)
        return GuardedSocket(*address[:3])

    return opened


def _configure(curl: pycurl.Curl, request: Request, url: SplitResult, address: str, ca_file: str) -> None:
    put = curl.setopt
    port = url.port or (443 if url.scheme == "https" else 80)
    put(pycurl.URL, sendable(request.url))
    put(pycurl.CONNECT_TO, [f"::[{address}]:{port}" if ":" in address else f"::{address}:{port}"])
    put(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    put(pycurl.NOSIGNAL, 1)
    put(pycurl.PROXY, "")  # not what the environment says
    put(pycurl.FRESH_CONNECT, 1)
    put(pycurl.FORBID_REUSE, 1)
    put(pycurl.SSL_SESSIONID_CACHE, 0)
    put(pycurl.USERAGENT, USER_AGENT)
    put(pycurl.ACCEPT_ENCODING, "gzip, deflate, br")
    if request.login is not None:
        way, username, password = request.login
        put(pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST if way == "digest" else pycurl.HTTPAUTH_BASIC)
        put(pycurl.USERNAME, username)
        put(pycurl.PASSWORD, password)
    if request.method == "HEAD":
        put(pycurl.NOBODY, 1)
    elif request.body is not None:
        put(pycurl.POSTFIELDS, request.body)
        put(pycurl.CUSTOMREQUEST, request.method)
    elif request.method != "GET":
        put(pycurl.CUSTOMREQUEST, request.method)
    headers = [f"{name}: {value}" if value else f"{name};" for name, value in request.headers]
    names = {name.lower() for name, _ in request.headers}
    if request.body is not None:
        headers += [line for name, line in _QUIET_POST if name not in names]
    if headers:
        put(pycurl.HTTPHEADER, headers)
    if url.scheme == "https":
        if request.trust.roots:
            put(pycurl.CAINFO_BLOB, request.trust.roots.encode())
        else:
            put(pycurl.CAINFO, ca_file)
        if request.trust.certificate:
            put(pycurl.SSLCERT_BLOB, request.trust.certificate.encode())
            put(pycurl.SSLKEY_BLOB, request.trust.key.encode())
        put(pycurl.SSL_VERIFYPEER, int(request.verify_tls))
        put(pycurl.SSL_VERIFYHOST, 2 if request.verify_tls else 0)
        newest = pycurl.CURL_HTTP_VERSION_1_1 if request.http_version == "1.1" else pycurl.CURL_HTTP_VERSION_2TLS
        put(pycurl.HTTP_VERSION, newest)
        put(pycurl.OPT_CERTINFO, 1)


# curl would add a form's content type, and wait for "100 Continue" before larger bodies.
_QUIET_POST = (("content-type", "Content-Type:"), ("expect", "Expect:"))
_VERSIONS = {
    pycurl.CURL_HTTP_VERSION_1_0: "1.0",
    pycurl.CURL_HTTP_VERSION_1_1: "1.1",
    pycurl.CURL_HTTP_VERSION_2_0: "2",
    pycurl.CURL_HTTP_VERSION_3: "3",
}


def _read(curl: pycurl.Curl, url: SplitResult, intake: _Intake, response: Response) -> None:
    info = curl.getinfo
    response.status = info(pycurl.RESPONSE_CODE)
    response.http_version = _VERSIONS.get(info(pycurl.INFO_HTTP_VERSION), "")
    response.headers = [
        (name.decode("latin-1").strip(), _text(value).strip())
        for name, colon, value in (line.partition(b":") for line in intake.lines)
        if colon
    ]
    response.body = b"".join(intake.chunks)
    response.size = intake.size
    response.is_capped = intake.size > intake.request.max_bytes
    connect, tls, sent = info(pycurl.CONNECT_TIME), info(pycurl.APPCONNECT_TIME), info(pycurl.PRETRANSFER_TIME)
    first, total = info(pycurl.STARTTRANSFER_TIME), info(pycurl.TOTAL_TIME)
    phases = {"connect": connect, "tls": tls - connect if tls else 0.0}
    if response.status:
        phases["first_byte"] = max(0.0, first - sent)
        phases["transfer"] = max(0.0, total - first)
    response.phases_ms = {name: seconds * 1000 for name, seconds in phases.items() if seconds}
    if url.scheme == "https":
        response.certificates = [value for fields in info(pycurl.INFO_CERTINFO) or () for key, value in fields if key == "Cert"]


def _text(value: bytes) -> str:
    """A header's value: UTF-8 where it is, as servers send it in Location; else Latin-1 (RFC 9110, 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
