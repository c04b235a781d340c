"""libcurl's socket callback, which applies the address policy to every connection just before it is opened."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pycurl

from apps.net.address_policy import AddressPolicy


class GuardedSocket:
    """A socket for libcurl, created after the address policy has permitted the address.

    pycurl duplicates the file descriptor, so ours is closed as soon as pycurl releases this object.
    """

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        self._sock = socket.SocketType(family, kind, protocol)

    def fileno(self) -> int:
        return self._sock.fileno()

    def __del__(self) -> None:
        self._sock.close()


SocketAddress = tuple[int, int, int, tuple[str | bytes, int]]
"""(family, type, protocol, (address, port))"""


def socket_opener(policy: AddressPolicy, blocked: list[str]) -> Callable[[int, SocketAddress], GuardedSocket | int]:
    """Return a callback for OPENSOCKETFUNCTION that refuses addresses which the policy does not permit.

    Refused addresses are appended to `blocked`, because libcurl itself reports only a failed connection.
    """

    def opened(_purpose: int, address: SocketAddress) -> GuardedSocket | int:
        host = address[3][0]
        text = host.decode() if isinstance(host, bytes) else host
        if not policy.permits(text):
            blocked.append(text)
            return int(pycurl.SOCKET_BAD)
        return GuardedSocket(*address[:3])

    return opened
