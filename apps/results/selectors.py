"""Reads of what was seen."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from apps.results.models import HEALTHS, VERDICTS, CheckRun, StateInterval
from apps.results.uptime import Span

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Vote:
    """What the machine reads of a recorded run."""

    slot: int
    region_id: int
    verdict: str
    recorded_ms: int
    reason: str | None
    message: str | None


@dataclass(frozen=True)
class UnsettledSince:
    """A check's rows of a revision after a slot."""

    check_id: uuid.UUID
    slot: int
    revision: int


# The look-up must be by index for each check: without statistics PostgreSQL chose a hash join over the whole partition.
_UNSETTLED = """
    SELECT s.id, r.slot, r.region_id, r.verdict, r.recorded_after_s, r.reason, r.message
    FROM unnest(%s::uuid[], %s::bigint[], %s::integer[]) AS s (id, slot, revision)
    CROSS JOIN LATERAL (
        SELECT slot, region_id, verdict, recorded_after_s, reason, facts ->> 'message' AS message FROM check_runs
        WHERE check_id = s.id AND slot > s.slot AND slot < %s AND revision = s.revision ORDER BY slot OFFSET 0 LIMIT 20000
    ) AS r
"""


def unsettled_votes(*, wanted: Sequence[UnsettledSince], now_ms: int) -> dict[uuid.UUID, list[Vote]]:
    """Every recorded vote of each check after its last settled slot, in the order of slots."""
    votes: dict[uuid.UUID, list[Vote]] = {item.check_id: [] for item in wanted}
    parameters: list[Any] = [
        [w.check_id for w in wanted],
        [w.slot for w in wanted],
        [w.revision for w in wanted],
        now_ms + DAY_MS,
    ]
    with connection.cursor() as cursor:
        cursor.execute(_UNSETTLED, parameters)
        for check_id, slot, region, verdict, after_s, reason, message in cursor.fetchall():
            votes[check_id].append(Vote(slot, region, VERDICTS[verdict], slot + after_s * 1000, reason, message))
    return votes


def runs_of(*, check_id: uuid.UUID) -> QuerySet[CheckRun]:
    return CheckRun.objects.filter(check_id=check_id)


@dataclass(frozen=True)
class LastRun:
    slot: int
    region_id: int
    verdict: str
    reason: str | None
    duration_ms: int


def last_runs(*, check_ids: Sequence[uuid.UUID], now_ms: int) -> dict[uuid.UUID, LastRun]:
    """The newest run of each check within the last two days."""
    statement = """
        SELECT c.id, r.slot, r.region_id, r.verdict, r.reason, r.duration_ms FROM unnest(%s::uuid[]) AS c (id)
        CROSS JOIN LATERAL (
            SELECT slot, region_id, verdict, reason, duration_ms FROM check_runs
            WHERE check_id = c.id AND slot > %s AND slot < %s ORDER BY slot DESC OFFSET 0 LIMIT 1
        ) AS r
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(check_ids), now_ms - 2 * DAY_MS, now_ms + DAY_MS])
        rows: list[Any] = cursor.fetchall()
    return {row[0]: LastRun(row[1], row[2], VERDICTS[row[3]], row[4], row[5]) for row in rows}


def shown_spans(*, check_id: uuid.UUID, start: int, end: int) -> list[Span]:
    """The shown states of a check inside [start, end); `end` is at most its first slot that is not settled."""
    return _spans(check_id, start, end, "shown")


def _spans(check_id: uuid.UUID, start: int, end: int, column: str) -> list[Span]:
    rows = StateInterval.objects.filter(check_id=check_id)
    first = rows.filter(start__lte=start).order_by("-start").values_list("start", flat=True).first()
    starts = list(
        rows.filter(start__gte=start if first is None else first, start__lt=end).order_by("start").values_list("start", column)
    )
    ends = [begin for begin, _ in starts[1:]] + [end]
    spans = [Span(max(begin, start), until, HEALTHS[state]) for (begin, state), until in zip(starts, ends, strict=True)]
    return [span for span in spans if span.end > span.start]


def down_ms(*, check_id: uuid.UUID, start: int, end: int) -> int:
    """How long the check was shown as down inside [start, end)."""
    return sum(span.end - span.start for span in shown_spans(check_id=check_id, start=start, end=end) if span.state == "down")
