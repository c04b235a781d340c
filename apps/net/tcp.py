"""Open one new TCP connection, subject to the address policy; the addresses of a host are tried in turn."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.net.address_policy import AddressPolicy
from apps.net.errors import NetError, length_words
from apps.net.failures import connect_failure, more_informative
from apps.net.hosts import host_port
from apps.net.resolver import Family, Resolver


@dataclass(frozen=True)
class Connection:
    """An open, non-blocking socket and how long it took to open it. The caller closes it."""

    sock: socket.socket
    address: str
    dns_ms: float
    connect_ms: float

    def facts(self) -> dict[str, Any]:
        """Return the facts of a run that every kind with a TCP connection reports."""
        return {"address": self.address, "phases_ms": {"dns": self.dns_ms, "connect": self.connect_ms}}


class TcpDialer:
    """Opens connections, for one event loop."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver

    async def dial(self, host: str, port: int, family: Family, until: float, *, is_judged: bool = False) -> Connection:
        """Connect before `until` (the loop's clock). Raises the most informative NetError of the addresses tried.

        With `is_judged` the address policy is not applied: the caller has already checked the address or may use any.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        addresses: Sequence[str] = await self._resolver.resolve(host, family, until - started)
        if not is_judged:
            self._policy.ensure_permits(host, addresses)
        resolved = loop.time()
        failure: NetError | None = None
        for tried, address in enumerate(addresses):
            share_s = (until - loop.time()) / (len(addresses) - tried)
            if share_s <= 0:
                break
            try:
                sock = await _connect(address, port, share_s)
            except NetError as error:
                failure = more_informative(failure, error)
                continue
            return Connection(sock, address, (resolved - started) * 1000, (loop.time() - resolved) * 1000)
        raise failure or NetError("connect_timeout", f"the time was up before {host_port(host, port)} could be tried")


async def _connect(address: str, port: int, timeout_s: float) -> socket.socket:
    where, is_ipv6 = host_port(address, port), ":" in address
    try:
        sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise connect_failure(error.errno or 0, where, is_ipv6=is_ipv6) from error
    sock.setblocking(False)
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except TimeoutError:
        sock.close()
        raise NetError("connect_timeout", f"{where} did not accept a connection within {length_words(timeout_s)}") from None
    except OSError as error:
        sock.close()
        raise connect_failure(error.errno or 0, where, is_ipv6=is_ipv6) from error
    except BaseException:
        sock.close()
        raise
    return sock
