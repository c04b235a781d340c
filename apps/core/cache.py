"""The cache backend: JSON values under our own key prefix.

Django's default serializer is pickle, which would run code from whoever can write to the Redis server.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.cache.backends.redis import RedisCache

_SCANNED = 1_000


class JsonSerializer:
    def dumps(self, value: Any) -> bytes | int:
        # Integers are stored as they are, so that the server can increment them (INCR).
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class PrefixedCache(RedisCache):
    """Redis cache whose `clear()` deletes our own keys only: the broker's queues may be in the same database."""

    def clear(self) -> None:
        client = self._cache.get_client(None, write=True)
        keys = list(client.scan_iter(match=f"{self.key_prefix}:*", count=_SCANNED))
        for start in range(0, len(keys), _SCANNED):
            client.delete(*keys[start : start + _SCANNED])
