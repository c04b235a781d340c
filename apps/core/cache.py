"""What the cache keeps: plain JSON. The default, pickle, would run whatever stands in the server."""

from __future__ import annotations

import json
from typing import Any


class JsonSerializer:
    def dumps(self, value: Any) -> bytes | int:
        # A bare integer is what the server itself can count up.
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)
