"""Echo requests (RFC 792, RFC 4443) to one address, and what came back.

By datagram sockets where the machine lets its groups have them (`net.ipv4.ping_group_range`), else by raw ones, which need a
privilege. Linux hands errors of routers to a connected socket that asked for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apps.net.errors import NetError
from apps.net.failures import connect_failure
from apps.net.guard import REFUSED, AddressPolicy
from apps.net.resolver import Family, Resolver

_TOKEN_BYTES = 8
LEAST_SIZE = _TOKEN_BYTES
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h
_BIGGEST = 65_536
_MOST_ERRORS = 100
"""Of one run: a socket that only fails is not read for ever."""


@dataclass(frozen=True)
class Echoes:
    """What came back of the requests, in the order of their sending."""

    address: str
    dns_ms: float
    rtts_ms: Sequence[float | None]
    """None: lost, or later than was waited for."""


@dataclass
class _Flight:
    """Requests on their way."""

    tokens: dict[bytes, int] = field(default_factory=dict)
    sent_at: list[float] = field(default_factory=list)
    rtts_ms: list[float | None] = field(default_factory=list)
    refusal: OSError | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        """Nothing is missing any more, or there is no way at all."""
        return None not in self.rtts_ms or (self.refusal is not None and not any(self.rtts_ms))

    def refuse(self, error: OSError) -> None:
        self.refusal = self.refusal or error
        self.news.set()


class Pinger:
    """Sends echo requests for one event loop."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver

    async def ping(
        self, host: str, family: Family, until: float, *, count: int, interval_s: float, size: int, wait_s: float
    ) -> Echoes:
        """`count` requests, each waited for so long and never beyond `until` (the loop's clock). Raises NetError.

        An error that a router or this machine reports is raised only when nothing came back.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        addresses = await self._resolver.resolve(host, family, until - started)
        for address in addresses:
            if not self._policy.permits(address):
                raise NetError("blocked_address", f"{host} leads to {REFUSED}")
        dns_ms = (loop.time() - started) * 1000
        address, flight = addresses[0], _Flight()
        with contextlib.closing(opened(address)) as sock:
            _connect(sock, address)
            listening = loop.create_task(_listen(sock, flight))
            try:
                for number in range(count):
                    begin = loop.time()
                    if begin >= until:
                        break
                    _send(sock, address, number, size, flight)
                    if number + 1 < count:
                        await asyncio.sleep(min(interval_s, until - begin))
                    else:
                        await _until_over(flight, min(until, begin + wait_s))
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        if flight.refusal is not None and not any(rtt is not None for rtt in flight.rtts_ms):
            raise _refused(flight.refusal, address)
        late = [None if rtt is not None and rtt > wait_s * 1000 else rtt for rtt in flight.rtts_ms]
        return Echoes(address, dns_ms, late)


def opened(address: str, make: Callable[..., socket.socket] = socket.socket) -> socket.socket:
    """Raises NetError `internal` where this machine lets us send none."""
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if ":" in address else (socket.AF_INET, socket.IPPROTO_ICMP)
    for shape in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            sock = make(family, shape, protocol)
        except PermissionError:
            continue
        except OSError as error:
            raise connect_failure(error.errno or 0, address) from error
        sock.setblocking(False)
        if ":" in address:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        return sock
    raise NetError(
        "internal",
        "this probe worker may not send ICMP: let net.ipv4.ping_group_range hold its group, or give it CAP_NET_RAW",
    )


def _connect(sock: socket.socket, address: str) -> None:
    try:
        sock.connect((address, 0))
    except OSError as error:
        raise _refused(error, address) from error


def _send(sock: socket.socket, address: str, number: int, size: int, flight: _Flight) -> None:
    token = os.urandom(_TOKEN_BYTES)
    flight.tokens[token] = number
    flight.sent_at.append(asyncio.get_running_loop().time())
    flight.rtts_ms.append(None)
    try:
        sock.send(_request(token, number, size, is_v6=":" in address))
    except OSError as error:  # a full queue loses a packet; the rest is told if nothing comes back
        flight.refuse(error)


def _request(token: bytes, number: int, size: int, *, is_v6: bool) -> bytes:
    kind, payload = (128 if is_v6 else 8), token.ljust(size, b"\x55")
    header = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, number)
    if is_v6:  # the kernel sums, for it knows the addresses
        return header + payload
    return struct.pack("!BBHHH", kind, 0, checksum(header + payload), os.getpid() & 0xFFFF, number) + payload


def checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\x00" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


async def _listen(sock: socket.socket, flight: _Flight) -> None:
    """Take answers as they come. Another's packets, and repeated ones, are not ours."""
    loop = asyncio.get_running_loop()
    errors = 0
    while errors < _MOST_ERRORS:
        try:
            packet = await loop.sock_recv(sock, _BIGGEST)
        except OSError as error:
            errors += 1
            flight.refuse(error)
            continue
        now = loop.time()
        number = flight.tokens.pop(token_of(packet, is_raw=sock.type & 0xF == socket.SOCK_RAW), None)
        if number is not None:
            flight.rtts_ms[number] = (now - flight.sent_at[number]) * 1000
            flight.news.set()


def token_of(packet: bytes, *, is_raw: bool) -> bytes:
    """Of an echo reply; nothing of any other packet. A raw IPv4 socket shows the IP header, too."""
    start = (packet[0] & 0xF) * 4 if is_raw and packet and packet[0] >> 4 == 4 else 0
    return packet[start + 8 : start + 8 + _TOKEN_BYTES] if packet[start : start + 2] in (b"\x00\x00", b"\x81\x00") else b""


async def _until_over(flight: _Flight, until: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while not flight.is_over:
                await flight.news.wait()
                flight.news.clear()


def _refused(error: OSError, address: str) -> NetError:
    if error.errno in (errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.EHOSTDOWN):
        return NetError("icmp_unreachable", f"on the way to {address}: {error.strerror}")
    if error.errno in (errno.EPERM, errno.EACCES):
        return NetError("internal", f"this machine's own rules do not let ICMP out to {address}: {error.strerror}")
    return connect_failure(error.errno or 0, address)
