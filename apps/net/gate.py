"""The last gate: what libcurl is given for a connection, judged by the very address that it asks for."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pycurl

from apps.net.guard import AddressPolicy


class GuardedSocket:
    """What libcurl gets for a connection: a socket, if the very address that it asks for is permitted.

    pycurl duplicates the descriptor, so ours is closed as soon as it lets go of this object.
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
    """For OPENSOCKETFUNCTION: the last gate. A refused address is noted in `blocked`."""

    def opened(_purpose: int, address: SocketAddress) -> GuardedSocket | int:
        host = address[3][0]
        text = host.decode() if isinstance(host, bytes) else host
        if not policy.permits(text):
            blocked.append(text)
            return int(pycurl.SOCKET_BAD)
        return GuardedSocket(*address[:3])

    return opened
