from __future__ import annotations

import base64
import os
from typing import Any

import pytest
from django.db import connection

from apps.core.cache import JsonSerializer
from apps.core.crypto import DecryptionError, decrypt, encrypt
from apps.notifications.models import Channel
from tests.conftest import Cast

PLACE = "table|column|row"


def key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def test_a_ring_of_keys_opens_what_any_of_them_closed(settings: Any) -> None:
    old, new = key(), key()
    settings.ENCRYPTION_KEYS = [old]
    closed = encrypt("s3cret", place=PLACE)
    assert b"s3cret" not in closed
    settings.ENCRYPTION_KEYS = [new, old]
    assert decrypt(closed, place=PLACE) == "s3cret"
    settings.ENCRYPTION_KEYS = [new]
    with pytest.raises(DecryptionError):
        decrypt(closed, place=PLACE)


def test_a_changed_byte_is_noticed(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [key()]
    closed = bytearray(encrypt("s3cret", place=PLACE))
    closed[-1] ^= 1
    with pytest.raises(DecryptionError):
        decrypt(bytes(closed), place=PLACE)


def test_a_value_opens_in_its_own_place_alone(cast: Cast) -> None:
    config = {"url": "https://hooks.example/secret", "secret": "x" * 20}
    first, second = (Channel.objects.create(**_owner(cast), name=name, kind="webhook", config=config) for name in "ab")
    assert Channel.objects.get(pk=first.pk).config == config
    with connection.cursor() as cursor:
        swap = "UPDATE notifications_channel SET config = (SELECT config FROM notifications_channel WHERE id = %s) WHERE id = %s"
        cursor.execute(swap, [first.pk, second.pk])
    with pytest.raises(DecryptionError):
        _ = Channel.objects.get(pk=second.pk).config
    assert Channel.objects.defer("config").get(pk=first.pk).config == config


def test_an_encrypted_field_is_not_written_without_its_row(cast: Cast) -> None:
    with pytest.raises(TypeError, match="saving its row"):
        Channel.objects.update(config={"a": 1})


def _owner(cast: Cast) -> dict[str, Any]:
    return {"organization": cast.organization, "project": cast.project}


def test_the_cache_holds_json_and_plain_integers() -> None:
    serializer = JsonSerializer()
    assert serializer.dumps(3) == 3
    assert serializer.loads(b"3") == 3
    written = serializer.dumps([1.5, "a"])
    assert isinstance(written, bytes)
    assert serializer.loads(written) == [1.5, "a"]
