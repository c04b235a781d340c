"""Send ICMP echo requests (RFC 792, RFC 4443) to one address and measure the replies.

icmplib provides packets and sockets: unprivileged datagram sockets where the machine permits them
(`net.ipv4.ping_group_range`), else raw sockets, which require a privilege. This module adds the address policy,
deadlines, ICMP errors from the Linux error queue, and a random token in each payload to match replies: icmplib matches
by sequence number, which packets of other programs may share.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from icmplib import ICMPRequest, ICMPSocketError, ICMPv4Socket, ICMPv6Socket, SocketPermissionError
from icmplib.sockets import ICMPSocket

from apps.net.address_policy import AddressPolicy
from apps.net.errors import NetError
from apps.net.failures import connect_failure
from apps.net.resolver import Family, Resolver

_TOKEN_BYTES = 8
LEAST_SIZE = _TOKEN_BYTES
"""Smallest payload in bytes: it must hold the token."""
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h
_BIGGEST = 65_536
_MOST_ERRORS = 100
"""Per run: limits how often a socket that only returns errors is read."""


@dataclass(frozen=True)
class Echoes:
    """The results of one run, in the order in which the requests were sent."""

    address: str
    dns_ms: float
    rtts_ms: Sequence[float | None]
    """Round-trip times; None if the reply was lost or came after the timeout of the packet."""


@dataclass
class _Flight:
    """The requests of one run and the replies received so far."""

    tokens: dict[bytes, int] = field(default_factory=dict)
    """Payload token to number, for requests that have not been answered."""
    sent_at: list[float] = field(default_factory=list)
    rtts_ms: list[float | None] = field(default_factory=list)
    refusal: OSError | None = None
    """The first error that the kernel reported."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a reply or an error arrives."""

    @property
    def is_over(self) -> bool:
        """Whether all replies have arrived, or an error was reported and there is no reply."""
        return None not in self.rtts_ms or (self.refusal is not None and not any(self.rtts_ms))

    def refuse(self, error: OSError) -> None:
        """Record an error; the first one is kept."""
        self.refusal = self.refusal or error
        self.news.set()


class Pinger:
    """Sends echo requests, for one event loop."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver

    async def ping(
        self, host: str, family: Family, until: float, *, count: int, interval_s: float, size: int, wait_s: float
    ) -> Echoes:
        """Send `count` requests and wait up to `wait_s` for each reply, but not beyond `until` (the loop's clock).

        Raises NetError. An ICMP error from a router or an error of this machine is raised only if no reply arrived.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        addresses = await self._resolver.resolve(host, family, until - started)
        self._policy.ensure_permits(host, addresses)
        dns_ms = (loop.time() - started) * 1000
        address, flight = addresses[0], _Flight()
        with contextlib.closing(open_icmp_socket(address)) as icmp:
            sock = icmp.sock
            _connect(sock, address)
            listening = loop.create_task(_listen(sock, flight))
            try:
                for number in range(count):
                    begin = loop.time()
                    if begin >= until:
                        break
                    _send(icmp, address, number, size, flight)
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


def open_icmp_socket(address: str) -> ICMPSocket:
    """Open a non-blocking ICMP socket that receives errors from the kernel's error queue.

    Raises NetError; `internal` if this machine does not permit sending ICMP.
    """
    kind = ICMPv6Socket if ":" in address else ICMPv4Socket
    for is_privileged in (False, True):
        try:
            icmp = kind(privileged=is_privileged)
        except SocketPermissionError:
            continue
        except ICMPSocketError as error:
            raise connect_failure(_number_of(error), address, is_ipv6=":" in address) from error
        icmp.sock.setblocking(False)
        if ":" in address:
            icmp.sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            icmp.sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        return icmp
    raise NetError(
        "internal",
        "this probe worker may not send ICMP: let net.ipv4.ping_group_range hold its group, or give it CAP_NET_RAW",
    )


def _number_of(error: ICMPSocketError) -> int:
    """Return the errno behind an icmplib error, which keeps it only in `__context__`; 0 if unknown."""
    return (error.__context__.errno or 0) if isinstance(error.__context__, OSError) else 0


def _connect(sock: socket.socket, address: str) -> None:
    try:
        sock.connect((address, 0))
    except OSError as error:
        raise _refused(error, address) from error


def _send(icmp: ICMPSocket, address: str, number: int, size: int, flight: _Flight) -> None:
    token = os.urandom(_TOKEN_BYTES)
    flight.tokens[token] = number
    flight.sent_at.append(asyncio.get_running_loop().time())
    flight.rtts_ms.append(None)
    request = ICMPRequest(address, os.getpid() & 0xFFFF, number, payload=token.ljust(size, b"\x55"))
    try:
        icmp.send(request)
    except ICMPSocketError as error:  # counts as a lost packet; raised only if no reply arrives
        cause = error.__context__
        flight.refuse(cause if isinstance(cause, OSError) else OSError(errno.EACCES, str(error)))


async def _listen(sock: socket.socket, flight: _Flight) -> None:
    """Receive replies until cancelled. Packets of other programs and duplicate replies are ignored."""
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
    """Return the token in an echo reply; empty for any other packet. Raw IPv4 sockets include the IP header."""
    start = (packet[0] & 0xF) * 4 if is_raw and packet and packet[0] >> 4 == 4 else 0
    return packet[start + 8 : start + 8 + _TOKEN_BYTES] if packet[start : start + 2] in (b"\x00\x00", b"\x81\x00") else b""


async def _until_over(flight: _Flight, until: float) -> None:
    """Wait until the run is over, but not beyond `until`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while not flight.is_over:
                await flight.news.wait()
                flight.news.clear()


def _refused(error: OSError, address: str) -> NetError:
    """Return the error for an errno of sending or receiving ICMP."""
    if error.errno in (errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.EHOSTDOWN):
        return NetError("icmp_unreachable", f"on the way to {address}: {error.strerror}")
    if error.errno in (errno.EPERM, errno.EACCES):
        return NetError("internal", f"this machine's own rules do not let ICMP out to {address}: {error.strerror}")
    return connect_failure(error.errno or 0, address, is_ipv6=":" in address)
