"""One HTTP exchange on a new connection through libcurl, subject to the address policy.

We resolve the host and check its addresses; libcurl is given a literal address (`CONNECT_TO`) and its socket callback
(`OPENSOCKETFUNCTION`) checks the address again. Redirects are not followed here: the caller makes an exchange for each
hop. libcurl caches the parsed CA bundle per multi handle and file, so there is one multi handle per CA file.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

import certifi
import pycurl

from apps.net.address_policy import REFUSED, AddressPolicy
from apps.net.dns import DnsClient, Server
from apps.net.errors import NetError
from apps.net.failures import NEXT_ADDRESS, Transfer, error_from_curl, more_informative, of_proxy
from apps.net.gate import socket_opener
from apps.net.hosts import canonical_host, host_port, literal
from apps.net.multi import Multi
from apps.net.request import Proxy, Request, configure
from apps.net.resolver import Family, Resolver
from apps.net.unpack import Decompressor

MIN_CURL = (8, 23)  # older versions block the event loop by waiting for a hung resolver thread
_PROXY_ASKS = 407
_SHARES = 2
"""While further addresses remain, one may use at most 1/2 of the remaining time to connect."""
_HELD_BYTES = 256_000_000
"""Limit for the bodies that all concurrent transfers of one engine keep in memory."""


@dataclass
class Response:
    """What was received of one exchange, including one that failed; `error` then says why."""

    url: str
    address: str = ""
    """The address that was connected to: of the host, or of the proxy."""
    status: int = 0
    http_version: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    """The first `Request.keep_bytes` bytes of the decompressed body."""
    size: int = 0
    """Bytes of the decompressed body that were read."""
    is_capped: bool = False
    """Whether the body is larger than `Request.max_bytes`; reading stopped there."""
    phases_ms: dict[str, float] = field(default_factory=dict)
    certificates: list[str] = field(default_factory=list)
    """The presented chain as PEM, leaf first; also filled if verification failed."""
    error: NetError | None = None

    location: str = ""
    """The Location header; bytes beyond ASCII are percent-encoded unchanged."""
    cookies: tuple[str, ...] = ()
    """libcurl's cookie jar after this exchange, in libcurl's own format, for a subsequent request."""

    def header(self, name: str) -> str | None:
        """Return the first header of that name (case-insensitive), or None."""
        return next(iter(self.header_values(name)), None)

    def header_values(self, name: str) -> tuple[str, ...]:
        """Return the values of all headers of that name (case-insensitive), in order of appearance."""
        wanted = name.lower()
        return tuple(value for key, value in self.headers if key.lower() == wanted)


_STATUS_LINE = re.compile(rb"HTTP/(?:1\.[01]|2) [1-9]\d\d[ \t\r\n]")
"""RFC 9112, 4. Of a longer number libcurl takes the first three digits, and any version above 2 for 1.1."""
_LENGTH, _LENGTH_DIGITS = b"content-length", 18
"""libcurl ignores lengths that do not fit 63 bits."""


@dataclass
class _Intake:
    """The data that libcurl's callbacks collect during one transfer."""

    request: Request
    held: Counter[str]
    """Counter shared by the whole engine: its `bytes` are the bodies in memory."""
    lines: list[bytes] = field(default_factory=list)
    """Header lines of the current response."""
    is_whole: bool = False
    """Whether all headers of the response were received."""
    body: bytearray = field(default_factory=bytearray)
    size: int = 0
    is_refused: bool = False
    """Whether the engine's limit for bodies in memory was exceeded."""
    unpacker: Decompressor | None = None
    error: NetError | None = None
    blocked: list[str] = field(default_factory=list)

    def on_header(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):  # a new response: the final one follows any 1xx responses
            self.lines.clear()
            self.is_whole = False
        self.is_whole = self.is_whole or line in (b"\r\n", b"\n")
        self.lines.append(line)

    def malformed(self) -> str | None:
        """Return what of the headers is invalid although libcurl accepts it, or None."""
        if not _STATUS_LINE.match(self.lines[0]):
            return f"its first line is {self.lines[0][:60].strip()!r}"
        lengths = (value.strip() for name, _, value in (line.partition(b":") for line in self.lines) if name.lower() == _LENGTH)
        too_large = next((value for value in lengths if len(value) > _LENGTH_DIGITS), None)
        return None if too_large is None else f"its length is {too_large[:60].decode('latin-1')}"

    def on_body(self, chunk: bytes) -> int | None:
        try:
            if self.unpacker is None:
                fields = (line.partition(b":") for line in self.lines)
                codings = b",".join(value for name, _, value in fields if name.lower() == b"content-encoding")
                self.unpacker = Decompressor(codings.decode("latin-1"))
            for part in self.unpacker.unpacked(chunk):
                self._take(part)
                if self.size > self.request.max_bytes or self.is_refused:
                    return -1
        except NetError as error:
            self.error = error
            return -1
        return None

    def _take(self, part: bytes) -> None:
        self.size += len(part)
        room = self.request.keep_bytes - len(self.body)
        if room > 0:
            kept = part[:room]
            self.held["bytes"] += len(kept)
            self.is_refused = self.held["bytes"] > _HELD_BYTES
            self.body += kept


@dataclass(frozen=True)
class _Route:
    """The addresses to connect to, in order, and behind a proxy possibly the address that it must connect to."""

    addresses: Sequence[str]
    behind: str = ""
    """Address of the target behind a proxy; empty without a proxy, or if the proxy resolves the name."""


class HttpEngine:
    """Performs all HTTP exchanges of one event loop. Must be closed before the loop ends."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver, dns: DnsClient, ca_file: str = "") -> None:
        version = tuple(int(part) for part in pycurl.version_info()[1].split(".")[:2])
        if version < MIN_CURL:
            raise RuntimeError(f"libcurl {version} is too old, {MIN_CURL} is the oldest that may be used")
        self._policy = policy
        self._resolver = resolver
        self._dns = dns
        self._ca_file = ca_file or certifi.where()
        self._roots = Path(ca_file).read_text() if ca_file else ""
        self._multis: dict[str, Multi] = {}
        self._free: list[pycurl.Curl] = []
        self._held: Counter[str] = Counter()

    async def exchange(self, request: Request, until: float) -> Response:
        """Send one request and read the response; `until` is on the loop's clock.

        Failures are reported in `Response.error`; nothing that the target does raises an exception.
        """
        loop = asyncio.get_running_loop()
        url = urlsplit(request.url)
        response = Response(request.url)
        started = loop.time()
        try:
            route = await self._route(request, canonical_host(url.hostname or ""), until)
        except NetError as error:
            response.error = error
            response.phases_ms = {"dns": (loop.time() - started) * 1000}
            return response
        dns_ms = (loop.time() - started) * 1000
        first_failure: NetError | None = None
        for tried, address in enumerate(route.addresses, start=1):
            response = Response(request.url, address)
            left = until - loop.time()
            # An address that drops packets must leave time for the next ones. The limit includes the TLS handshake,
            # which may be slow, so the time is halved and not divided among all remaining addresses.
            connect_s = left / min(_SHARES, len(route.addresses) - tried + 1)
            await self._transfer(request, url, response, route.behind, left, connect_s)
            response.phases_ms = {"dns": dns_ms, **response.phases_ms}
            if response.error is None or response.error.code not in NEXT_ADDRESS or until <= loop.time():
                return response
            first_failure = more_informative(first_failure, response.error)
        response.error = first_failure
        return response

    async def close(self) -> None:
        for multi in self._multis.values():
            multi.close()
        self._multis.clear()
        while self._free:
            self._free.pop().close()

    async def _route(self, request: Request, host: str, until: float) -> _Route:
        """Resolve the target and any proxy, and apply the address policy. Raises NetError.

        Behind a proxy we resolve and pin the target's address, too, because the policy must hold there. Only where
        private addresses are permitted and no name server is set does the proxy resolve the name.
        """
        proxy = request.proxy
        if proxy is None:
            return _Route(await self._guarded(host, request.family, request.nameserver, until))
        try:
            addresses = await self._guarded(proxy.host, "auto", None, until)
        except NetError as error:
            if error.code == "blocked_address":
                raise
            raise NetError("proxy_failed", f"the proxy {proxy.host}: {error.message}") from error
        if self._policy.private and request.nameserver is None and literal(host) is None:
            return _Route(addresses)  # the proxy resolves the name, which may be known only there
        return _Route(addresses, (await self._guarded(host, request.family, request.nameserver, until))[0])

    async def _guarded(self, host: str, family: Family, server: Server | None, until: float) -> Sequence[str]:
        """Return the addresses of `host`. Raises NetError, also if the policy refuses any of them."""
        if server is None or literal(host) is not None:
            addresses: Sequence[str] = await self._resolver.resolve(host, family, until - asyncio.get_running_loop().time())
        else:
            addresses = await self._dns.addresses(host, family, server, until)
        self._policy.ensure_permits(host, addresses)
        return addresses

    def _seen(self, request: Request, url: SplitResult, response: Response, left_s: float, connect_s: float) -> Transfer:
        is_tls = url.scheme == "https"
        port = request.proxy.port if request.proxy else url.port or (443 if is_tls else 80)
        where, is_ipv6 = host_port(response.address, port), ":" in response.address
        roots = request.trust.roots or self._roots
        return Transfer(where, is_ipv6, is_tls, response.certificates, roots, response.size, left_s, connect_s)

    async def _transfer(
        self, request: Request, url: SplitResult, response: Response, behind: str, left_s: float, connect_s: float
    ) -> None:
        """Perform the transfer with one address and fill `response`."""
        if left_s <= 0:
            response.error = NetError("connect_timeout", "the time was up before a connection was tried")
            return
        # libcurl caches a parsed CA file in the multi handle, but never a CA text: those requests share one handle.
        cached = "" if request.trust.roots else self._ca_file
        multi = self._multis.get(cached)
        if multi is None:
            multi = self._multis[cached] = Multi()
        intake = _Intake(request, self._held)
        curl = self._free.pop() if self._free else pycurl.Curl()
        configure(curl, request, url, response.address, behind, self._ca_file)
        curl.setopt(pycurl.TIMEOUT_MS, max(1, int(left_s * 1000)))
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, int(connect_s * 1000)))
        curl.setopt(pycurl.HEADERFUNCTION, intake.on_header)
        curl.setopt(pycurl.WRITEFUNCTION, intake.on_body)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, socket_opener(self._policy, intake.blocked))
        failure: tuple[int, str] | None = None
        try:
            await multi.perform(curl)
        except pycurl.error as error:
            failure = (error.args[0], error.args[1])
        finally:
            self._held["bytes"] -= len(intake.body)
        # If the transfer is cancelled this is not reached, and the handle is discarded instead of being reused.
        _read(curl, url, intake, response)
        response.error = _own_error(intake)
        if response.error is None and failure is None:
            response.error = _whole_error(intake, request, response)
        elif response.error is None and failure is not None and not response.is_capped:
            seen = self._seen(request, url, response, left_s, connect_s)
            response.error = _of_route(curl, failure, seen, url, request.proxy, behind) or error_from_curl(curl, failure, seen)
        curl.reset()
        self._free.append(curl)


def _own_error(intake: _Intake) -> NetError | None:
    """Return the error for which we ended the transfer ourselves, or None."""
    if intake.blocked:
        return NetError("blocked_address", f"the connection went to {REFUSED}")
    if intake.is_refused and intake.error is None:
        return NetError("internal", "this worker holds as many bodies as it may; look into fewer of them, or smaller ones")
    return intake.error


def _whole_error(intake: _Intake, request: Request, response: Response) -> NetError | None:
    """Return what is wrong with an answer that libcurl takes for complete, or None."""
    if not intake.is_whole:
        return NetError("connection_closed", f"the answer ended within its headers, after {len(intake.lines)} lines")
    if fault := intake.malformed():
        return NetError("protocol_error", f"the answer is not valid HTTP: {fault}")
    if intake.unpacker is not None and not intake.unpacker.is_whole:
        return NetError("truncated_body", f"the packed body ended after {intake.size} unpacked bytes, before its end")
    if request.proxy and response.status == _PROXY_ASKS:
        return NetError("proxy_failed", "[proxy.status] (407) == 200: the proxy asks for a user name and password")
    return None


def _of_route(
    curl: pycurl.Curl, failure: tuple[int, str], seen: Transfer, url: SplitResult, proxy: Proxy | None, behind: str
) -> NetError | None:
    """Return an error if the proxy of the request caused the failure, else None."""
    if proxy is None:
        return None
    is_literal = literal(url.hostname or "") is not None  # libcurl requests these by absolute URL
    is_tunnelled = proxy.scheme == "http" and (seen.is_tls or (bool(behind) and not is_literal))
    return of_proxy(curl, failure, seen, is_tunnelled=is_tunnelled)


_ASCII = "".join(map(chr, range(128)))
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
    locations = (value for name, _, value in (line.partition(b":") for line in intake.lines) if name.lower() == b"location")
    response.location = quote(next(locations, b"").strip(), safe=_ASCII)
    response.cookies = tuple(info(pycurl.INFO_COOKIELIST) or ())
    response.body = bytes(intake.body)
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
    """Decode a header value: as UTF-8 if valid, as in many Location headers, else as Latin-1 (RFC 9110, 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
