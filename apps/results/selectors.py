"""Reads of what was seen."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet

from apps.core.clock import to_ms
from apps.results.models import HEALTHS, UNTIMED, VERDICTS, CheckRun
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


def last_facts(*, check_id: uuid.UUID, now_ms: int) -> CheckRun | None:
    """The newest run within two hours whose facts are kept in full; they are hourly."""
    rows = CheckRun.objects.filter(check_id=check_id, slot__gt=now_ms - 7_200_000, slot__lt=now_ms + DAY_MS, facts__isnull=False)
    return rows.order_by("-slot").first()


@dataclass(frozen=True)
class RunPage:
    """Whole rounds, newest first; `before` is where the next page goes on, None at the end."""

    runs: list[CheckRun]
    before: int | None


def run_page(*, check_id: uuid.UUID, before: int, since: int, verdict: str | None, limit: int) -> RunPage:
    """A page of a check's runs older than `before`. Of one verdict, a week is looked through at a time: it may hold none."""
    rows = CheckRun.objects.filter(check_id=check_id, slot__lt=before).order_by("-slot", "region_id")
    if verdict is None:
        start = since
    else:
        start = max(since, before - 7 * DAY_MS)
        rows = rows.filter(verdict=VERDICTS.index(verdict))
    found = list(rows.filter(slot__gte=start)[:limit])
    if len(found) == limit and found[0].slot != found[-1].slot:
        last = found[-1].slot
        found = [run for run in found if run.slot != last]  # the rest of its round would be lost between the pages
    if len(found) >= limit // 2:
        return RunPage(found, found[-1].slot)
    return RunPage(found, start if start > since else None)


@dataclass(frozen=True)
class Wanted:
    """A check whose newest runs are asked for, and how far back they may lie."""

    check_id: uuid.UUID
    back_ms: int = 2 * DAY_MS


@dataclass(frozen=True)
class LastRun:
    slot: int
    region_id: int
    verdict: str
    reason: str | None
    duration_ms: int | None


def last_runs(*, wanted: Sequence[Wanted], now_ms: int) -> dict[uuid.UUID, LastRun]:
    """The newest run of each check."""
    statement = """
        SELECT c.id, r.slot, r.region_id, r.verdict, r.reason, r.duration_ms
        FROM unnest(%s::uuid[], %s::bigint[]) AS c (id, since)
        CROSS JOIN LATERAL (
            SELECT slot, region_id, verdict, reason, duration_ms FROM check_runs
            WHERE check_id = c.id AND slot > c.since AND slot < %s ORDER BY slot DESC OFFSET 0 LIMIT 1
        ) AS r
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, [[w.check_id for w in wanted], [now_ms - w.back_ms for w in wanted], now_ms + DAY_MS])
        rows: list[Any] = cursor.fetchall()
    return {row[0]: LastRun(row[1], row[2], VERDICTS[row[3]], row[4], timed(row[5])) for row in rows}


def timed(duration_ms: int) -> int | None:
    """None of a run that nobody timed."""
    return None if duration_ms == UNTIMED else duration_ms


def runs_around(*, check_id: uuid.UUID, at: datetime) -> list[CheckRun]:
    """The runs of the slot at a moment: what the first failing round saw, in every region."""
    return list(CheckRun.objects.filter(check_id=check_id, slot=to_ms(at)).order_by("region_id"))


class SeenRun(NamedTuple):
    """A run as a beat shows it. A tuple, for a list reads a thousand of them."""

    slot: int
    region_id: int
    verdict: str
    duration_ms: int | None
    reason: str | None
    message: str | None


def recent_runs(*, wanted: Sequence[Wanted], count: int, now_ms: int) -> dict[uuid.UUID, list[SeenRun]]:
    """The newest `count` runs of each check, oldest first."""
    statement = """
        SELECT c.place::integer, r.slot, r.region_id, r.verdict, r.duration_ms, r.reason, r.message
        FROM unnest(%s::uuid[], %s::bigint[]) WITH ORDINALITY AS c (id, since, place)
        CROSS JOIN LATERAL (
            SELECT slot, region_id, verdict, duration_ms, reason, facts ->> 'message' AS message FROM check_runs
            WHERE check_id = c.id AND slot > c.since AND slot < %s ORDER BY slot DESC OFFSET 0 LIMIT %s
        ) AS r ORDER BY r.slot, r.region_id
    """
    with connection.cursor() as cursor:
        parameters: list[Any] = [[w.check_id for w in wanted], [now_ms - w.back_ms for w in wanted], now_ms + DAY_MS, count]
        cursor.execute(statement, parameters)
        rows: list[Any] = cursor.fetchall()
    runs: list[list[SeenRun]] = [[] for _ in wanted]
    for place, slot, region, verdict, duration, reason, message in rows:
        runs[place - 1].append(SeenRun(slot, region, VERDICTS[verdict], timed(duration), reason, message))
    return dict(zip((w.check_id for w in wanted), runs, strict=True))


_SPANS = """
    SELECT c.id, i.start, i.shown FROM unnest(%(ids)s::uuid[], %(ends)s::bigint[]) AS c (id, until)
    CROSS JOIN LATERAL (
        (SELECT start, shown FROM results_stateinterval WHERE check_id = c.id AND start <= %(start)s ORDER BY start DESC LIMIT 1)
        UNION ALL
        (SELECT start, shown FROM results_stateinterval WHERE check_id = c.id AND start > %(start)s AND start < c.until)
    ) AS i ORDER BY c.id, i.start
"""


def shown_spans(*, until: Mapping[uuid.UUID, int], start: int) -> dict[uuid.UUID, list[Span]]:
    """The shown states of each check inside [start, until), which is at most its first slot that is not settled. One query."""
    bounds: dict[str, Any] = {"ids": list(until), "ends": list(until.values()), "start": start}
    begun: dict[uuid.UUID, list[tuple[int, int]]] = {check_id: [] for check_id in until}
    with connection.cursor() as cursor:
        cursor.execute(_SPANS, bounds)
        for check_id, begin, shown in cursor.fetchall():
            begun[check_id].append((begin, shown))
    spans = {}
    for check_id, starts in begun.items():
        ends = [*(begin for begin, _ in starts[1:]), until[check_id]][: len(starts)]
        found = [Span(max(begin, start), end, HEALTHS[state]) for (begin, state), end in zip(starts, ends, strict=True)]
        spans[check_id] = [span for span in found if span.end > span.start]
    return spans


def down_ms(*, check_id: uuid.UUID, start: int, end: int) -> int:
    """How long the check was shown as down inside [start, end)."""
    spans = shown_spans(until={check_id: end}, start=start)[check_id]
    return sum(span.end - span.start for span in spans if span.state == "down")
