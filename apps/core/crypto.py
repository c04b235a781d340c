"""Secrets at rest: AES-256-GCM under a key ring. The first key encrypts, all of them decrypt."""

from __future__ import annotations

import base64
import json
import os
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models

_PREFIX = b"\x01"


class DecryptionError(Exception):
    """No key of the ring opens this value."""


@lru_cache(maxsize=8)
def _ring(keys: tuple[str, ...]) -> tuple[AESGCM, ...]:
    ring = []
    for key in keys:
        try:
            raw = base64.urlsafe_b64decode(key)
        except ValueError as error:
            raise ImproperlyConfigured("GORUPTIME_ENCRYPTION_KEYS: a key is not URL-safe base64") from error
        if len(raw) != 32:
            raise ImproperlyConfigured("GORUPTIME_ENCRYPTION_KEYS: a key must be 32 bytes in URL-safe base64")
        ring.append(AESGCM(raw))
    return tuple(ring)


def encrypt(text: str) -> bytes:
    nonce = os.urandom(12)
    return _PREFIX + nonce + _ring(tuple(settings.ENCRYPTION_KEYS))[0].encrypt(nonce, text.encode(), None)


def decrypt(value: bytes) -> str:
    """Raises DecryptionError."""
    raw = bytes(value)
    for key in _ring(tuple(settings.ENCRYPTION_KEYS)):
        try:
            return key.decrypt(raw[1:13], raw[13:], None).decode()
        except InvalidTag:
            continue
    raise DecryptionError("a stored secret cannot be opened with the configured encryption keys")


def is_newest(value: bytes) -> bool:
    """Whether the first key, the one that encrypts, made this value."""
    try:
        _ring(tuple(settings.ENCRYPTION_KEYS))[0].decrypt(value[1:13], value[13:], None)
    except InvalidTag:
        return False
    return True


class EncryptedJSONField(models.BinaryField):  # type: ignore[type-arg]  # the stub's parameters are those of bytes
    """JSON that the database sees only encrypted. It can be neither searched nor ordered."""

    def from_db_value(self, value: Any, *_: object) -> Any:
        return None if value is None else json.loads(decrypt(value))

    def to_python(self, value: Any) -> Any:
        return value

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return None if value is None else super().get_db_prep_value(encrypt(json.dumps(value)), connection, prepared)
