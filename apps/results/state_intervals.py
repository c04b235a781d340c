"""Writes the state intervals of checks. They have no overlap and no hole."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from apps.results.daily_sums import delete_sums_from
from apps.results.models import HEALTHS


@dataclass(frozen=True)
class NewInterval:
    """The own and the shown health of a check from `start` (epoch ms) on."""

    check_id: uuid.UUID
    start: int
    own: str
    shown: str


def put_intervals(intervals: Sequence[NewInterval]) -> None:
    """Insert intervals. No later interval exists, since rounds are settled once and in order."""
    if not intervals:
        return
    columns: list[Any] = [
        [i.check_id for i in intervals],
        [i.start for i in intervals],
        [HEALTHS.index(i.own) for i in intervals],
        [HEALTHS.index(i.shown) for i in intervals],
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO results_stateinterval (check_id, start, own, shown) "
            "SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::smallint[], %s::smallint[])",
            columns,
        )


def mark_intervals_down(*, check_id: uuid.UUID, start: int) -> None:
    """Show all time from `start` on as down, except unknown time."""
    delete_sums_from(check_id=check_id, start=start)
    _split_interval(check_id, start)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE results_stateinterval SET shown = %s WHERE check_id = %s AND start >= %s AND own <> 0",
            [HEALTHS.index("down"), check_id, start],
        )


def restore_intervals(*, check_id: uuid.UUID, start: int) -> None:
    """Show each interval from `start` on by its own health again."""
    delete_sums_from(check_id=check_id, start=start)
    _split_interval(check_id, start)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE results_stateinterval SET shown = own WHERE check_id = %s AND start >= %s", [check_id, start])


def _split_interval(check_id: uuid.UUID, at: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO results_stateinterval (check_id, start, own, shown) "
            "SELECT check_id, %s, own, shown FROM results_stateinterval WHERE check_id = %s AND start < %s "
            "ORDER BY start DESC LIMIT 1 ON CONFLICT DO NOTHING",
            [at, check_id, at],
        )
