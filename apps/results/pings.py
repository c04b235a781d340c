"""The pings of passive checks: the newest of each in a ring of rows, so that frequent pings take no more space."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from django.db import connection

from apps.results.models import Ping
from apps.results.services import INSERT_MANY, RecordedRun, columns_of

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


_ARRAYS = ", ".join(f"%s::{kind}[]" for kind in _TYPES)
_PING_NAMES = f"check_id, place, {_COLUMNS}"


def _values(check_id: uuid.UUID, number: int, ping: StoredPing) -> list[Any]:
    return [check_id, number % KEPT, number, *astuple(ping)]


def keep_ping(*, check_id: uuid.UUID, number: int, ping: StoredPing) -> None:
    """Store a ping. The caller holds the lock of the check's state, which counts the pings."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP + _INSTEAD, _values(check_id, number, ping))


@dataclass(frozen=True)
class PingUpdate:
    """A ping, the state that it leads to if the state is still as it was read, and its run if it settles a round."""

    check_id: uuid.UUID
    before: tuple[int, int, int]
    """Slot, due, count of pings."""
    after: tuple[int, int, int | None, str, int | None, str]
    """Due, slot, counted, streaks, deadline, wait."""
    number: int
    ping: StoredPing
    run: RecordedRun | None


_MOVE = """
    moved AS (
        UPDATE incidents_checkstate AS s
        SET due = m.due, slot = m.slot, counted = m.counted, streaks = m.streaks::bigint[], deadline = m.deadline,
            wait = m.wait::jsonb, pings = m.number
        FROM unnest(
            %s::uuid[], %s::bigint[], %s::bigint[], %s::integer[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],
            %s::bigint[], %s::text[], %s::integer[]
        ) AS m (id, old_slot, old_due, old_number, due, slot, counted, streaks, deadline, wait, number)
        WHERE s.check_row_id = m.id AND s.slot = m.old_slot AND s.due = m.old_due AND s.pings = m.old_number
        RETURNING s.check_row_id
    )
"""


def keep_pings_with(moved: Sequence[PingUpdate], *, now_ms: int) -> set[uuid.UUID]:
    """Store pings and their runs in one statement with the state updates; return the checks that were updated.

    A state is updated only if it is still as it was read; otherwise nothing is stored for its check.
    """
    states = [(m.check_id, *m.before, *m.after, m.number) for m in moved]
    runs = [columns_of(m.run, now_ms) for m in moved if m.run is not None]
    rings = [_values(m.check_id, m.number, m.ping) for m in moved]
    parts, parameters = [_MOVE], [list(column) for column in zip(*states, strict=True)]
    if runs:
        parts.append(f"run AS ({INSERT_MANY} JOIN moved ON moved.check_row_id = r.check_id ON CONFLICT DO NOTHING)")
        parameters += [list(column) for column in zip(*runs, strict=True)]
    keep = f"INSERT INTO results_ping (check_id, place, {_COLUMNS}) SELECT p.* FROM unnest({_ARRAYS}) AS p ({_PING_NAMES})"  # noqa: S608
    statement = f"WITH {', '.join(parts)} {keep} JOIN moved ON moved.check_row_id = p.check_id {_INSTEAD} RETURNING check_id"
    parameters += [list(column) for column in zip(*rings, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return {row[0] for row in cursor.fetchall()}


def newest_pings(*, check_id: uuid.UUID, count: int) -> list[Ping]:
    return list(Ping.objects.filter(check_id=check_id).order_by("-number")[:count])
