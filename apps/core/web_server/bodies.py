"""The bodies of requests: their limits, one by one and all together."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BODY_BYTES = 1_000_000
_DRAINED_BYTES = 16_000_000
"""How much of a too large body is read and discarded."""
_FREE_BYTES = 16_384
"""What of each body is not charged to the common memory: small bodies, like those of pings, are always taken."""


class BodyTooLargeError(Exception):
    """The body of a request exceeds `MAX_BODY_BYTES`."""


class MemoryFullError(Exception):
    """The bodies of all requests in progress together leave no room for this one."""


@dataclass
class Memory:
    """What is left for the bodies of all requests in progress, in bytes."""

    left: int = 64_000_000


class Body:
    """The body of one request. Large ones share a common memory, so that many connections cannot exhaust the machine's."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._parts: list[bytes] = []
        self.size = self._charged = 0

    def add(self, part: bytes) -> None:
        """Add a part. Raises MemoryFullError and BodyTooLargeError; of a too large body some is read and discarded first,
        because a client that is still sending would not read the response.
        """
        self.size += len(part)
        if self.size > _DRAINED_BYTES:
            raise BodyTooLargeError
        if self.size > MAX_BODY_BYTES:
            self.release()
            return
        charge = min(len(part), max(0, self.size - _FREE_BYTES))
        if charge > self._memory.left:
            raise MemoryFullError
        self._memory.left -= charge
        self._charged += charge
        self._parts.append(bytes(part))

    @property
    def content(self) -> bytes:
        """The whole body."""
        return b"".join(self._parts)

    def end(self) -> None:
        """Raise BodyTooLargeError if parts were discarded."""
        if self.size > MAX_BODY_BYTES:
            raise BodyTooLargeError

    def release(self) -> None:
        """Give back the memory."""
        self._memory.left += self._charged
        self._charged = 0
        self._parts.clear()
