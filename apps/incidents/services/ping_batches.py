"""Writes the pings of many checks at once: each with its check's new state and its run, in one statement."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from apps.results.record_runs import INSERT_MANY, RecordedRun, columns_of
from apps.results.stored_pings import ARRAYS, PING_COLUMNS, PING_NAMES, REPLACE_PING, StoredPing, ping_values


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
    rings = [ping_values(m.check_id, m.number, m.ping) for m in moved]
    parts, parameters = [_MOVE], [list(column) for column in zip(*states, strict=True)]
    if runs:
        parts.append(f"run AS ({INSERT_MANY} JOIN moved ON moved.check_row_id = r.check_id ON CONFLICT DO NOTHING)")
        parameters += [list(column) for column in zip(*runs, strict=True)]
    keep = f"INSERT INTO results_ping (check_id, place, {PING_COLUMNS}) SELECT p.* FROM unnest({ARRAYS}) AS p ({PING_NAMES})"  # noqa: S608  # literals
    statement = f"WITH {', '.join(parts)} {keep} JOIN moved ON moved.check_row_id = p.check_id {REPLACE_PING} RETURNING check_id"
    parameters += [list(column) for column in zip(*rings, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return {row[0] for row in cursor.fetchall()}
