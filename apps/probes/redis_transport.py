"""kombu's transport for Redis and Valkey, with one client per channel.

kombu makes a new client for every publication and acknowledgement, which takes longer than the command itself: a tenth of
what a small installation costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class Channel(redis.Channel):
    _shared: Any = None

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Yield the given client or the channel's own, which takes a connection of the pool for each command."""
        if client is None and (self._shared is None or self._shared.connection_pool is not self.pool):
            self._shared = self._create_client()  # type: ignore[attr-defined]  # missing in the stubs
        yield self._shared if client is None else client


class Transport(redis.Transport):
    Channel = Channel


def use_shared_clients() -> None:
    """Use this transport for every `redis://` and `rediss://` address of this process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{Transport.__module__}:{Transport.__qualname__}"
