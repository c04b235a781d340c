"""What passive checks heard: the newest pings of each, in a ring, so that a chatty job costs no more than a silent one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from django.db import connection

from apps.results.models import Ping
from apps.results.services import INSERT_ONE, RecordedRun, columns_of

KEPT = 200
"""Pings of a check."""
BODY_BYTES = 10_000
"""Of each; what a job says beyond is not kept."""


@dataclass(frozen=True)
class HeardPing:
    """A ping as it is kept; milliseconds."""

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


_COLUMNS = "number, at_ms, signal, rid, exit_code, runtime_ms, others, method, agent, address, body"
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
_KEEP = f"INSERT INTO results_ping (check_id, place, {_COLUMNS}) SELECT {', '.join(f'%s::{kind}' for kind in _TYPES)}"  # literals
_INSTEAD = f"""
    ON CONFLICT (check_id, place) DO UPDATE SET ({_COLUMNS}) = ROW ({", ".join(f"EXCLUDED.{c}" for c in _COLUMNS.split(", "))})
"""


def _values(check_id: uuid.UUID, number: int, ping: HeardPing) -> list[Any]:
    return [check_id, number % KEPT, number, *astuple(ping)]


def keep_ping(*, check_id: uuid.UUID, number: int, ping: HeardPing) -> None:
    """Under the lock of the check's state, which counts the pings."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP + _INSTEAD, _values(check_id, number, ping))


@dataclass(frozen=True)
class Statement:
    """An UPDATE that moves the state of a check, or none if it is not as it was read."""

    sql: str
    parameters: Sequence[Any]


def keep_ping_with(
    moves: Statement, *, check_id: uuid.UUID, number: int, ping: HeardPing, run: RecordedRun | None, now_ms: int
) -> bool:
    """The ping and its run in one statement with the state that they move, or nothing at all. Whether it moved."""
    parts, parameters = [f"moved AS ({moves.sql} RETURNING 1)"], [*moves.parameters]
    if run is not None:
        parts.append(f"run AS ({INSERT_ONE} FROM moved ON CONFLICT DO NOTHING)")
        parameters += columns_of(run, now_ms)
    with connection.cursor() as cursor:
        statement = f"WITH {', '.join(parts)} {_KEEP} FROM moved {_INSTEAD}"
        cursor.execute(statement, [*parameters, *_values(check_id, number, ping)])
        return bool(cursor.rowcount)


def newest_pings(*, check_id: uuid.UUID, count: int) -> list[Ping]:
    return list(Ping.objects.filter(check_id=check_id).order_by("-number")[:count])
