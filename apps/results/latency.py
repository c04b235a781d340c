"""Latency over time: percentiles of up and degraded runs, from rollups for steps of an hour or more, else from runs."""

from __future__ import annotations

import math
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from apps.core.clock import DAY_MS, HOUR_MS
from apps.results.histogram import BUCKET_SQL, merged, percentiles
from apps.results.models import GOOD, VERDICTS, CheckRun, DayRollup, HourRollup
from apps.results.packing import StoredRun
from apps.results.rollups import FROM_RUNS, done_until
from apps.results.runs import RunQuery, packed_runs, runs_within

SHARES = (0.5, 0.95, 0.99)
_ALL = 2**31
MAX_POINTS = 1_000
EXACT_MS, EXACT_RUNS = 7 * DAY_MS, 150_000
"""The longest span (ms) and the largest number of runs that are read run by run."""


@dataclass(frozen=True)
class Point:
    """Runs by verdict in [start, start + step), with latency percentiles in ms.

    The percentiles are of up and degraded runs, and None without any.
    """

    start: int
    runs: int
    verdicts: dict[str, int]
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True)
class _Part:
    """A rollup row of one region, stored or just computed from runs."""

    check_id: uuid.UUID
    region_id: int
    start: int
    counts: tuple[int, int, int, int]
    buckets: Sequence[int]
    numbers: Sequence[int]


def is_step_allowed(*, width_ms: int, step: int, interval_ms: int, regions: int) -> bool:
    """Return whether a span may be requested in such steps: below an hour, runs are read one by one, within a limit."""
    return step >= HOUR_MS or (width_ms <= EXACT_MS + step and width_ms // interval_ms * regions <= EXACT_RUNS)


def series(*, check_id: uuid.UUID, start: int, end: int, step: int, region_id: int | None = None) -> list[Point]:
    """Return the points in time order without empty ones. A step below an hour is computed exactly, from runs."""
    if step < HOUR_MS:
        return _exact(check_id, start, end, step, region_id)
    parts = _parts([check_id], start, end, is_daily=step % DAY_MS == 0)
    if region_id is not None:
        parts = [part for part in parts if part.region_id == region_id]
    grouped: dict[int, list[_Part]] = defaultdict(list)
    for part in parts:
        grouped[part.start // step * step].append(part)
    return [_point(moment, grouped[moment]) for moment in sorted(grouped)]


# LATERAL gives each check an index scan.
_HISTOGRAMS = f"""
    FROM unnest(%(checks)s::uuid[]) AS c (id)
    CROSS JOIN LATERAL (
        SELECT h.start AS hour, u.bucket, u.number FROM results_hourrollup AS h
        CROSS JOIN LATERAL unnest(h.buckets, h.numbers) AS u (bucket, number)
        WHERE h.check_id = c.id AND h.start >= %(start)s AND h.start < %(rolled)s
        UNION ALL
        SELECT slot / {HOUR_MS} * {HOUR_MS}, {BUCKET_SQL}, count(*) FROM (
            SELECT slot, duration_ms FROM check_runs
            WHERE check_id = c.id AND slot >= %(rolled)s AND slot < %(end)s AND verdict IN (1, 2) AND duration_ms >= 0 OFFSET 0
        ) AS runs GROUP BY 1, 2
    ) AS m
"""  # noqa: S608  # literals
_SUMMARY = f"SELECT c.id, m.bucket, sum(m.number)::bigint {_HISTOGRAMS} GROUP BY 1, 2"  # literals
_HOURS = f"SELECT c.id, m.hour, m.bucket, sum(m.number)::bigint {_HISTOGRAMS} GROUP BY 1, 2, 3"  # literals


@dataclass(frozen=True)
class Percentiles:
    """Latency percentiles in ms of the up and degraded runs of a span."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True)
class HourlyLatency:
    """Latency of a check over a span: of all of it, and the median (ms) of each hour by its start (epoch ms)."""

    whole: Percentiles
    medians: dict[int, float]


def summary(*, check_ids: Sequence[uuid.UUID], start: int, end: int) -> dict[uuid.UUID, Percentiles]:
    """Return the percentiles of each check over the span, whose start is rounded down to the hour. Two queries."""
    histograms: dict[uuid.UUID, Counter[int]] = defaultdict(Counter)
    for check_id, bucket, number in _rows_of(_SUMMARY, check_ids, start, end):
        histograms[check_id][bucket] = number
    return {check_id: Percentiles(*percentiles(histogram, SHARES)) for check_id, histogram in histograms.items()}


def by_hour(*, check_ids: Sequence[uuid.UUID], start: int, end: int) -> dict[uuid.UUID, HourlyLatency]:
    """Return what `summary` does and the median of each hour, for a page of a list. Two queries."""
    hours: dict[uuid.UUID, dict[int, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for check_id, hour, bucket, number in _rows_of(_HOURS, check_ids, start, end):
        hours[check_id][hour][bucket] = number
    found = {}
    for check_id, histograms in hours.items():
        whole: Counter[int] = sum(histograms.values(), Counter())
        medians = {hour: percentiles(histogram, SHARES)[0] or 0.0 for hour, histogram in histograms.items()}
        found[check_id] = HourlyLatency(Percentiles(*percentiles(whole, SHARES)), medians)
    return found


def _rows_of(statement: str, check_ids: Sequence[uuid.UUID], start: int, end: int) -> list[Any]:
    first = start // HOUR_MS * HOUR_MS
    bounds: dict[str, Any] = {"checks": list(check_ids), "start": first, "end": end, "rolled": max(first, done_until("hour"))}
    with connection.cursor() as cursor:
        cursor.execute(statement, bounds)
        rows: list[Any] = cursor.fetchall()
    return rows


def by_region(*, check_id: uuid.UUID, start: int, end: int) -> dict[int, Point]:
    grouped: dict[int, list[_Part]] = defaultdict(list)
    for part in _parts([check_id], start // HOUR_MS * HOUR_MS, end, is_daily=False):
        grouped[part.region_id].append(part)
    return {region_id: _point(start, parts) for region_id, parts in grouped.items()}


def _point(start: int, parts: Sequence[_Part]) -> Point:
    counts = Counter[str]()
    for part in parts:
        counts.update(dict(zip(VERDICTS, part.counts, strict=True)))
    p50, p95, p99 = percentiles(merged((part.buckets, part.numbers) for part in parts), SHARES)
    return Point(start, counts.total(), dict(counts), p50, p95, p99)


def _parts(check_ids: Sequence[uuid.UUID], start: int, end: int, *, is_daily: bool) -> list[_Part]:
    """Return daily rollups where requested and available, else hourly ones; the newest part is computed from runs."""
    hours_until = min(done_until("hour"), end)
    days_until = min(done_until("day"), end // DAY_MS * DAY_MS) if is_daily else start
    parts: list[_Part] = []
    if days_until > start:
        parts += _rows(DayRollup, check_ids, start, days_until)
    parts += _rows(HourRollup, check_ids, max(start, days_until), hours_until)
    if end > max(hours_until, start):
        bounds: dict[str, Any] = {"checks": list(check_ids), "start": max(start, hours_until), "end": end}
        with connection.cursor() as cursor:
            cursor.execute(FROM_RUNS, bounds)
            parts += [_Part(row[0], row[1], row[2], tuple(row[3:7]), row[7], row[8]) for row in cursor.fetchall()]
    return parts


def _rows(model: Any, check_ids: Sequence[uuid.UUID], start: int, end: int) -> list[_Part]:
    rows = model.objects.filter(check_id__in=check_ids, start__gte=start, start__lt=end)
    names = ("check_id", "region_id", "start", "unknown", "up", "degraded", "down", "buckets", "numbers")
    return [_Part(row[0], row[1], row[2], tuple(row[3:7]), row[7], row[8]) for row in rows.values_list(*names)]


_EXACT = """
    SELECT slot / %(step)s * %(step)s AS moment,
        count(*) FILTER (WHERE verdict = 0), count(*) FILTER (WHERE verdict = 1),
        count(*) FILTER (WHERE verdict = 2), count(*) FILTER (WHERE verdict = 3),
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_ms)
            FILTER (WHERE verdict IN (1, 2) AND duration_ms >= 0)
    FROM check_runs WHERE check_id = %(check)s AND slot >= %(start)s AND slot < %(end)s
        AND (%(region)s::smallint IS NULL OR region_id = %(region)s)
    GROUP BY 1 ORDER BY 1
"""


def _exact(check_id: uuid.UUID, start: int, end: int, step: int, region_id: int | None) -> list[Point]:
    """Compute points from runs in both forms, rows and packed.

    A day that is being packed may be in both and counts once.
    """
    with connection.cursor() as cursor:
        cursor.execute(_EXACT, {"check": check_id, "start": start, "end": end, "step": step, "region": region_id})
        rows: list[Any] = cursor.fetchall()
    points = {}
    for moment, *counts, found in rows:
        p50, p95, p99 = found or (None, None, None)
        points[moment] = Point(moment, sum(counts), dict(zip(VERDICTS, counts, strict=True)), p50, p95, p99)
    regions = None if region_id is None else (region_id,)
    grouped: dict[int, list[StoredRun]] = defaultdict(list)
    for _, run in packed_runs(RunQuery(check_id, start, end, region_ids=regions)):
        grouped[run.slot // step * step].append(run)
    for moment, runs in grouped.items():
        if moment not in points:
            points[moment] = _exactly(moment, runs)
        elif moment // DAY_MS != (moment + step - 1) // DAY_MS:  # the step spans two days, one packed and one not
            asked = RunQuery(check_id, max(start, moment), min(end, moment + step), region_ids=regions)
            points[moment] = _exactly(moment, runs_within(asked, limit=_ALL))
    return [points[moment] for moment in sorted(points)]


def _exactly(moment: int, runs: Sequence[CheckRun | StoredRun]) -> Point:
    counts = Counter(VERDICTS[run.verdict] for run in runs)
    good = sorted(run.duration_ms for run in runs if VERDICTS[run.verdict] in GOOD and run.duration_ms >= 0)
    p50, p95, p99 = (_continuous(good, share) for share in SHARES)
    return Point(moment, len(runs), {verdict: counts[verdict] for verdict in VERDICTS}, p50, p95, p99)


def _continuous(ordered: Sequence[int], share: float) -> float | None:
    """Return the percentile as PostgreSQL's `percentile_cont` does, interpolated between the two neighbours."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))
