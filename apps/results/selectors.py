"""Reads of runs, votes and state intervals."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from apps.core.clock import DAY_MS
from apps.results.models import HEALTHS, UNTIMED, VERDICTS, CheckRun
from apps.results.runs import HOT_DAYS, newest_packed
from apps.results.uptime import Span


@dataclass(frozen=True)
class Vote:
    """The part of a recorded run that the state machine reads."""

    slot: int
    region_id: int
    verdict: str
    recorded_ms: int
    reason: str | None
    message: str | None


@dataclass(frozen=True)
class UnsettledSince:
    """A query for the runs of a check's revision after a slot."""

    check_id: uuid.UUID
    slot: int
    revision: int


# LATERAL and OFFSET 0 force an index scan for each check: without statistics PostgreSQL chose a hash join over the
# whole partition.
_UNSETTLED = """
    SELECT s.id, r.slot, r.region_id, r.verdict, r.recorded_after_s, r.reason, r.message
    FROM unnest(%s::uuid[], %s::bigint[], %s::integer[]) AS s (id, slot, revision)
    CROSS JOIN LATERAL (
        SELECT slot, region_id, verdict, recorded_after_s, reason, facts ->> 'message' AS message FROM check_runs
        WHERE check_id = s.id AND slot > s.slot AND slot < %s AND revision = s.revision ORDER BY slot OFFSET 0 LIMIT 20000
    ) AS r
"""


def unsettled_votes(*, wanted: Sequence[UnsettledSince], now_ms: int) -> dict[uuid.UUID, list[Vote]]:
    """Return the recorded votes of each check after its last settled slot, in slot order."""
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


def last_facts(*, check_id: uuid.UUID, now_ms: int) -> CheckRun | None:
    """Return the newest run of the last two hours with full facts, which are kept at least hourly."""
    rows = CheckRun.objects.filter(check_id=check_id, slot__gt=now_ms - 7_200_000, slot__lt=now_ms + DAY_MS, facts__isnull=False)
    return rows.order_by("-slot").first()


@dataclass(frozen=True)
class RecentRunsQuery:
    """A check whose newest runs are wanted, and how far back (ms) they may lie."""

    check_id: uuid.UUID
    back_ms: int = 2 * DAY_MS


def timed(duration_ms: int) -> int | None:
    """Return the duration in ms, or None if the run was not timed."""
    return None if duration_ms == UNTIMED else duration_ms


class SeenRun(NamedTuple):
    """A run as a beat bar shows it. A NamedTuple, because a list reads a thousand of them."""

    slot: int
    region_id: int
    verdict: str
    duration_ms: int | None
    reason: str | None
    message: str | None


def recent_runs(*, wanted: Sequence[RecentRunsQuery], count: int, now_ms: int) -> dict[uuid.UUID, list[SeenRun]]:
    """Return the newest `count` runs of each check, oldest first."""
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
    for rare, seen in zip(wanted, runs, strict=True):
        if rare.back_ms > HOT_DAYS * DAY_MS and len(seen) < count:
            older = newest_packed(check_id=rare.check_id, after=now_ms - rare.back_ms, count=count)
            known = {(run.slot, run.region_id) for run in seen}
            seen[:0] = [_seen(run) for run in reversed(older) if (run.slot, run.region_id) not in known][-(count - len(seen)) :]
    return dict(zip((w.check_id for w in wanted), runs, strict=True))


def _seen(run: CheckRun) -> SeenRun:
    message = (run.facts or {}).get("message")
    return SeenRun(run.slot, run.region_id, VERDICTS[run.verdict], timed(run.duration_ms), run.reason, message)


_SPANS = """
    SELECT c.id, i.start, i.shown FROM unnest(%(ids)s::uuid[], %(ends)s::bigint[]) AS c (id, until)
    CROSS JOIN LATERAL (
        (SELECT start, shown FROM results_stateinterval WHERE check_id = c.id AND start <= %(start)s ORDER BY start DESC LIMIT 1)
        UNION ALL
        (SELECT start, shown FROM results_stateinterval WHERE check_id = c.id AND start > %(start)s AND start < c.until)
    ) AS i ORDER BY c.id, i.start
"""


def shown_spans(*, until: Mapping[uuid.UUID, int], start: int) -> dict[uuid.UUID, list[Span]]:
    """Return the shown states of each check in [start, until), in one query.

    `until` must not lie after the check's first unsettled slot.
    """
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
    """Return for how many milliseconds the check was shown as down in [start, end)."""
    spans = shown_spans(until={check_id: end}, start=start)[check_id]
    return sum(span.end - span.start for span in spans if span.state == "down")
