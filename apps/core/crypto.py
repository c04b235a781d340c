"""Encryption of stored secrets with AES-256-GCM and a key ring: the first key encrypts, every key decrypts.

A value is bound to its location (table, column, row) as associated data: a ciphertext that is copied into another row
cannot be decrypted there.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models

_UNBOUND, _BOUND = b"\x01", b"\x02"
"""The first byte of a value, its format: without associated data (written by older releases), or with it."""


class DecryptionError(Exception):
    """No key of the ring decrypts this value at this location."""


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


def associated_data_of(table: str, column: str, row: object) -> str:
    """Return the location that a value is bound to. `row` identifies the row permanently: its id, or another value of
    it that never changes.
    """
    return f"{table}|{column}|{row}"


def encrypt(text: str, *, place: str) -> bytes:
    nonce = os.urandom(12)
    return _BOUND + nonce + _ring(tuple(settings.ENCRYPTION_KEYS))[0].encrypt(nonce, text.encode(), place.encode())


def decrypt(value: bytes, *, place: str) -> str:
    """Return the plain text. Raises DecryptionError if no key of the ring decrypts the value at this location."""
    raw = bytes(value)
    for key in _ring(tuple(settings.ENCRYPTION_KEYS)):
        try:
            return key.decrypt(raw[1:13], raw[13:], _associated_data(raw, place)).decode()
        except InvalidTag:
            continue
    raise DecryptionError("a stored secret cannot be opened with the configured encryption keys")


def is_newest(value: bytes, *, place: str) -> bool:
    """Return whether the value was encrypted with the first key of the ring and is bound to this location."""
    try:
        _ring(tuple(settings.ENCRYPTION_KEYS))[0].decrypt(value[1:13], value[13:], _associated_data(value, place))
    except InvalidTag:
        return False
    return value[:1] == _BOUND


def _associated_data(value: bytes, place: str) -> bytes | None:
    return None if value[:1] == _UNBOUND else place.encode()


@dataclass(frozen=True)
class _Sealed:
    """A ciphertext from the database. It is decrypted when the attribute is read, since only then its row is known."""

    value: bytes


@dataclass(frozen=True)
class _Placed:
    """A plain value that is about to be written, and the location to bind it to."""

    value: Any
    place: str


class _OpenedAttribute:
    """Descriptor of an encrypted field on its model: decrypts the stored value when it is first read."""

    def __init__(self, field: EncryptedJSONField) -> None:
        self._field = field

    def __get__(self, instance: models.Model | None, owner: type[models.Model]) -> Any:
        if instance is None:
            return self
        name = self._field.attname
        if name not in instance.__dict__:
            instance.refresh_from_db(fields=[name])  # it was deferred
        value = instance.__dict__[name]
        if isinstance(value, _Sealed):
            value = json.loads(decrypt(value.value, place=self._field.place_in(instance)))
            instance.__dict__[name] = value
        return value

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self._field.attname] = value


class EncryptedJSONField(models.BinaryField):  # type: ignore[type-arg]  # the stub's parameters are those of bytes
    """JSON that is stored encrypted. It cannot be filtered or ordered by; `QuerySet.update()` raises TypeError.

    `bound_to` names the field that identifies the row. It must be set before the row is written, and never change.
    """

    def __init__(self, *args: Any, bound_to: str = "pk", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bound_to = bound_to

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs if self.bound_to == "pk" else {**kwargs, "bound_to": self.bound_to}

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only=private_only)
        setattr(cls, self.attname, _OpenedAttribute(self))

    def place_in(self, instance: models.Model) -> str:
        row = getattr(instance, self.bound_to)
        if row is None:
            raise ValueError(f"{self.model.__name__}.{self.name} is bound to {self.bound_to}, which is not known yet")
        return associated_data_of(self.model._meta.db_table, str(self.column), row)

    def from_db_value(self, value: Any, *_: object) -> Any:
        return None if value is None else _Sealed(bytes(value))

    def to_python(self, value: Any) -> Any:
        return value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = getattr(model_instance, self.attname)
        return None if value is None else _Placed(value, self.place_in(model_instance))

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if value is None:
            return None
        if not isinstance(value, _Placed):
            raise TypeError(f"{self.name} is written by saving its row: its place belongs to what is encrypted")
        return super().get_db_prep_value(encrypt(json.dumps(value.value), place=value.place), connection, prepared)
