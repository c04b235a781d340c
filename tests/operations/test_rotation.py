from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.core.management import CommandError, call_command
from django.db import connection

from apps.core.rotation import encrypted_fields
from apps.incidents.services import check_commands
from apps.monitors.check_spec import CheckSpec
from apps.monitors.models import Check, Region
from apps.orgs.actors import SYSTEM
from tests.conftest import NOW, Cast


def key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def raw() -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM monitors_check")
        return bytes(cursor.fetchone()[0])


@pytest.fixture
def secret(cast: Cast) -> dict[str, object]:
    spec = CheckSpec("site", "http", "http://127.0.0.1:1/", {"headers": {"Authorization": "Bearer x"}})
    check_commands.create_check(actor=SYSTEM, project=cast.project, spec=spec, resource=None, now=NOW)
    return {"headers": {"Authorization": "Bearer x"}}


def test_after_a_rotation_the_old_key_is_not_needed(secret: dict[str, object], settings: Any) -> None:
    old, new = settings.ENCRYPTION_KEYS[0], key()
    settings.ENCRYPTION_KEYS = [new, old]
    before = raw()
    call_command("rotate_keys", verbosity=0)
    settings.ENCRYPTION_KEYS = [new]
    assert Check.objects.get().secrets == secret
    assert all(region.key for region in Region.objects.all())
    after = raw()
    assert before != after
    call_command("rotate_keys", verbosity=0)
    assert raw() == after
    settings.ENCRYPTION_KEYS = [old]


def test_a_value_from_before_places_is_opened_and_bound(secret: dict[str, object], settings: Any) -> None:
    nonce = os.urandom(12)
    ring_key = base64.urlsafe_b64decode(settings.ENCRYPTION_KEYS[0])
    unbound = b"\x01" + nonce + AESGCM(ring_key).encrypt(nonce, json.dumps(secret).encode(), None)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE monitors_check SET secrets = %s", [unbound])
    assert Check.objects.get().secrets == secret
    call_command("rotate_keys", verbosity=0)
    assert raw()[:1] == b"\x02"
    assert Check.objects.get().secrets == secret


def test_a_value_that_no_key_opens_stops_it(secret: dict[str, object], settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [key()]
    with pytest.raises(CommandError, match="cannot be opened"):
        call_command("rotate_keys", verbosity=0)


def test_every_encrypted_field_is_known() -> None:
    assert {f"{model.__name__}.{field.name}" for model, field in encrypted_fields()} == {
        "Check.secrets", "Region.key", "Trial.options", "Channel.config",
    }  # fmt: skip
