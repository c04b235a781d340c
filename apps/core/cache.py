"""What the cache keeps: plain JSON, under our own prefix. The default, pickle, would run whatever stands in the server."""

from __future__ import annotations

import json
from typing import Any

from django.core.cache.backends.redis import RedisCache

_SCANNED = 1_000


class JsonSerializer:
    def dumps(self, value: Any) -> bytes | int:
        # A bare integer is what the server itself can count up.
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class PrefixedCache(RedisCache):
    """`clear()` takes away our own keys and no others: the broker's queues may be in the same database."""

    def clear(self) -> None:
        client = self._cache.get_client(None, write=True)
        keys = list(client.scan_iter(match=f"{self.key_prefix}:*", count=_SCANNED))
        for start in range(0, len(keys), _SCANNED):
            client.delete(*keys[start : start + _SCANNED])
