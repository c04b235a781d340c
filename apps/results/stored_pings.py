"""The pings of passive checks: the newest of each in a ring of rows, so that frequent pings take no more space."""

from __future__ import annotations

import uuid
from dataclasses import astuple, dataclass
from typing import Any

from django.db import connection

from apps.results.models import Ping

KEPT = 200
"""Number of pings kept per check."""
BODY_BYTES = 10_000
"""Maximum bytes of a ping's body that are kept."""


@dataclass(frozen=True)
class StoredPing:
    """A ping as it is stored; times in ms."""

    at_ms: int
    signal: str
    rid: str
    exit_code: int | None
    runtime_ms: int | None
    others: int
    method: str
    agent: str
    address: str
    body: str


PING_COLUMNS = "number, at_ms, signal, rid, exit_code, runtime_ms, others, method, agent, address, body"
_TYPES = (
    "uuid",
    "smallint",
    "integer",
    "bigint",
    "text",
    "text",
    "smallint",
    "bigint",
    "smallint",
    "text",
    "text",
    "text",
    "text",
)
_PLACEHOLDERS = ", ".join(f"%s::{kind}" for kind in _TYPES)
_KEEP = f"INSERT INTO results_ping (check_id, place, {PING_COLUMNS}) SELECT {_PLACEHOLDERS}"  # literals
_GIVEN = ", ".join(f"EXCLUDED.{column}" for column in PING_COLUMNS.split(", "))
REPLACE_PING = f"""
    ON CONFLICT (check_id, place) DO UPDATE SET ({PING_COLUMNS}) = ROW ({_GIVEN})
"""


ARRAYS = ", ".join(f"%s::{kind}[]" for kind in _TYPES)
PING_NAMES = f"check_id, place, {PING_COLUMNS}"


def ping_values(check_id: uuid.UUID, number: int, ping: StoredPing) -> list[Any]:
    return [check_id, number % KEPT, number, *astuple(ping)]


def keep_ping(*, check_id: uuid.UUID, number: int, ping: StoredPing) -> None:
    """Store a ping. The caller holds the lock of the check's state, which counts the pings."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP + REPLACE_PING, ping_values(check_id, number, ping))


def newest_pings(*, check_id: uuid.UUID, count: int) -> list[Ping]:
    return list(Ping.objects.filter(check_id=check_id).order_by("-number")[:count])
