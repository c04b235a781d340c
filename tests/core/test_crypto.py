from __future__ import annotations

import base64
import os
from typing import Any

import pytest

from apps.core.cache import JsonSerializer
from apps.core.crypto import DecryptionError, decrypt, encrypt


def key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def test_a_ring_of_keys_opens_what_any_of_them_closed(settings: Any) -> None:
    old, new = key(), key()
    settings.ENCRYPTION_KEYS = [old]
    closed = encrypt("s3cret")
    assert b"s3cret" not in closed
    settings.ENCRYPTION_KEYS = [new, old]
    assert decrypt(closed) == "s3cret"
    settings.ENCRYPTION_KEYS = [new]
    with pytest.raises(DecryptionError):
        decrypt(closed)


def test_a_changed_byte_is_noticed(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [key()]
    closed = bytearray(encrypt("s3cret"))
    closed[-1] ^= 1
    with pytest.raises(DecryptionError):
        decrypt(bytes(closed))


def test_the_cache_holds_json_and_plain_integers() -> None:
    serializer = JsonSerializer()
    assert serializer.dumps(3) == 3
    assert serializer.loads(b"3") == 3
    written = serializer.dumps([1.5, "a"])
    assert isinstance(written, bytes)
    assert serializer.loads(written) == [1.5, "a"]
