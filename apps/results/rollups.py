"""Rolls up runs by hour and day: incrementally, and restartable at any point.

An hour is rolled up two minutes after its end, a thousand checks per transaction, with the cursor in the same one;
repeating it gives the same rows. Runs that arrive later mark their hour, which is then rolled up again together with
its day.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Min

from apps.core.clock import DAY_MS, HOUR_MS, to_ms
from apps.monitors.models import Check
from apps.results.histogram import BUCKET_SQL, bucket_of
from apps.results.models import GOOD, VERDICTS, CheckRun, DayRollup, HourRollup, LateHour, PackedRuns, RollupCursor
from apps.results.partitions import day_of, partition_names
from apps.results.runs import HOT_DAYS, RunQuery, runs_within

_SETTLE_MS = 120_000
_LATE_MS = 60_000
"""Less than `_SETTLE_MS`, so that a run recorded shortly before its hour is rolled up is committed or marked."""
_CHUNK = 1_000
_ALL = 2**31
HOURS_KEPT = timedelta(days=100)
DAYS_KEPT = timedelta(days=800)

_COLUMNS = "check_id, region_id, start, unknown, up, degraded, down, buckets, numbers"
_COUNTS = ", ".join(f"coalesce(sum(n) FILTER (WHERE verdict = {verdict}), 0)::integer" for verdict in range(4))
_HISTOGRAM = """
    coalesce(array_agg(bucket ORDER BY bucket) FILTER (WHERE bucket IS NOT NULL), '{}'),
    coalesce(array_agg(n ORDER BY bucket) FILTER (WHERE bucket IS NOT NULL), '{}')
"""
FROM_RUNS = f"""
    SELECT check_id, region_id, hour, {_COUNTS}, {_HISTOGRAM} FROM (
        SELECT check_id, region_id, slot / {HOUR_MS} * {HOUR_MS} AS hour, verdict,
            CASE WHEN verdict IN (1, 2) AND duration_ms >= 0 THEN {BUCKET_SQL} END AS bucket, count(*)::integer AS n
        FROM check_runs WHERE check_id = ANY (%(checks)s) AND slot >= %(start)s AND slot < %(end)s GROUP BY 1, 2, 3, 4, 5
    ) AS counted GROUP BY 1, 2, 3
"""  # noqa: S608  # built of literals
"""Selects the rows of an hour rollup directly from the runs, in the order of `_COLUMNS`."""
_FROM_HOURS = """
    SELECT h.check_id, h.region_id, %(start)s, sum(h.unknown), sum(h.up), sum(h.degraded), sum(h.down),
        coalesce(b.buckets, '{}'), coalesce(b.numbers, '{}')
    FROM results_hourrollup AS h
    LEFT JOIN (
        SELECT check_id, region_id, array_agg(bucket ORDER BY bucket) AS buckets, array_agg(number ORDER BY bucket) AS numbers
        FROM (
            SELECT check_id, region_id, bucket, sum(number)::integer AS number
            FROM results_hourrollup CROSS JOIN LATERAL unnest(buckets, numbers) AS u (bucket, number)
            WHERE check_id = ANY (%(checks)s) AND start >= %(start)s AND start < %(end)s GROUP BY 1, 2, 3
        ) AS summed GROUP BY 1, 2
    ) AS b ON b.check_id = h.check_id AND b.region_id = h.region_id
    WHERE h.check_id = ANY (%(checks)s) AND h.start >= %(start)s AND h.start < %(end)s
    GROUP BY 1, 2, b.buckets, b.numbers
"""  # built of literals
_UPSERT = """
    ON CONFLICT (check_id, start, region_id) DO UPDATE SET (unknown, up, degraded, down, buckets, numbers) =
        ROW (excluded.unknown, excluded.up, excluded.degraded, excluded.down, excluded.buckets, excluded.numbers)
"""
_SPANS = {
    "hour": (HOUR_MS, f"INSERT INTO results_hourrollup ({_COLUMNS}) {FROM_RUNS} {_UPSERT}"),  # literals
    "day": (DAY_MS, f"INSERT INTO results_dayrollup ({_COLUMNS}) {_FROM_HOURS} {_UPSERT}"),  # literals
}


def roll_up(*, now: datetime, steps: int) -> int:
    """Make at most `steps` transactions: late hours first, then hours, then days. Return how many were made."""
    made = 0
    for step in (_roll_late, _roll_hour, _roll_day):
        while made < steps and step(now):
            made += 1
    return made


def done_until(span: str) -> int:
    """Return the moment (epoch ms) before which everything is rolled up; 0 before the first rollup."""
    return RollupCursor.objects.filter(span=span).values_list("done_until", flat=True).first() or 0


def _roll_hour(now: datetime) -> bool:
    return _advance("hour", limit=(to_ms(now) - _SETTLE_MS) // HOUR_MS * HOUR_MS)


def _roll_day(now: datetime) -> bool:
    return _advance("day", limit=done_until("hour") // DAY_MS * DAY_MS)


@transaction.atomic
def _advance(span: str, *, limit: int) -> bool:
    """Roll up one chunk of checks in the first span not done. Return False if all before `limit` is done."""
    width, _ = _SPANS[span]
    if not RollupCursor.objects.filter(span=span).exists():
        RollupCursor.objects.get_or_create(span=span, defaults={"done_until": min(oldest_run_day(), limit)})
    cursor = RollupCursor.objects.select_for_update().get(span=span)
    if cursor.done_until >= limit:
        return False
    checks = Check.objects.order_by("pk").values_list("pk", flat=True)
    chunk = list((checks if cursor.after is None else checks.filter(pk__gt=cursor.after))[:_CHUNK])
    roll(span, chunk, cursor.done_until)
    if len(chunk) < _CHUNK:
        cursor.done_until, cursor.after = cursor.done_until + width, None
    else:
        cursor.after = chunk[-1]
    cursor.save(update_fields=["done_until", "after"])
    return True


def roll(span: str, checks: Sequence[uuid.UUID], start: int, end: int | None = None) -> None:
    """Roll up one span of these checks, or the hours until `end`. Existing rows are replaced."""
    if not checks:
        return
    width, statement = _SPANS[span]
    with connection.cursor() as cursor:
        cursor.execute(statement, {"checks": list(checks), "start": start, "end": end or start + width})


@transaction.atomic
def _roll_late(now: datetime) -> bool:
    """Roll up some hours marked as late, and their days if these are done. Return whether there were any."""
    until = (to_ms(now) - _SETTLE_MS) // HOUR_MS * HOUR_MS
    late = LateHour.objects.filter(start__lt=min(until, done_until("hour"))).select_for_update(skip_locked=True)
    marks = list(late.order_by("start")[:_CHUNK])
    for start in sorted({mark.start for mark in marks}):
        checks = [mark.check_id for mark in marks if mark.start == start]
        # Deleted before the runs are read: a transaction that records a run meanwhile waits for this one and then marks
        # the hour again. A mark that another transaction still holds was skipped.
        LateHour.objects.filter(start=start, check_id__in=checks).delete()
        if start < to_ms(now) // DAY_MS * DAY_MS - HOT_DAYS * DAY_MS:  # a day that may be packed
            for check_id in checks:
                roll_again(check_id=check_id, start=start, end=start + HOUR_MS)
            continue
        roll("hour", checks, start)
        _roll_days_again(checks, start, start + HOUR_MS)
    return bool(marks)


def _roll_days_again(checks: Sequence[uuid.UUID], start: int, end: int) -> None:
    """Roll up the days that a span touches, from their hours.

    One transaction at a time: concurrent ones would not see each other's hours.
    """
    RollupCursor.objects.select_for_update().filter(span="day").first()
    until = done_until("day") + DAY_MS  # the day in progress too: it may be past these checks
    for day in range(start // DAY_MS * DAY_MS, min(end, until), DAY_MS):
        roll("day", checks, day)


def mark_late(*, runs: Sequence[tuple[uuid.UUID, int]], now_ms: int) -> None:
    """Mark the hours of these (check, slot) pairs that may have been rolled up.

    Called in the transaction that records the runs.
    """
    late = {(check, slot // HOUR_MS * HOUR_MS) for check, slot in runs if now_ms > slot // HOUR_MS * HOUR_MS + HOUR_MS + _LATE_MS}
    if late:
        checks, starts = zip(*sorted(late), strict=True)
        with connection.cursor() as cursor:
            cursor.execute(_MARK, [list(checks), list(starts)])


_MARK = """
    INSERT INTO results_latehour (check_id, start) SELECT * FROM unnest(%s::uuid[], %s::bigint[]) AS late (check_id, start)
    ON CONFLICT (check_id, start) DO UPDATE SET start = excluded.start
"""
"""An existing mark is updated too, to lock it until these runs are committed.

Whoever processed the mark before would not see them.
"""


def oldest_run_day() -> int:
    """Return the start (epoch ms) of the oldest day that has runs, packed ones included; 0 if there is none."""
    names = partition_names()
    packed = PackedRuns.objects.aggregate(oldest=Min("start"))["oldest"]
    days = [day_of(name) for name in names[:1]] + [start // DAY_MS * DAY_MS for start in [packed] if start is not None]
    return min(days, default=0)


def has_late_hours(start: int, end: int) -> bool:
    """Return whether hours in [start, end) are marked to be rolled up again."""
    return LateHour.objects.filter(start__gte=start, start__lt=end).exists()


@transaction.atomic
def roll_again(*, check_id: uuid.UUID, start: int, end: int) -> int:
    """Roll up the hours of [start, end) from rows and packed runs, then their days; return the number of hour rows."""
    hours: dict[tuple[int, int], list[CheckRun]] = defaultdict(list)
    for run in runs_within(RunQuery(check_id, start, end), limit=_ALL):
        hours[run.slot // HOUR_MS * HOUR_MS, run.region_id].append(run)
    rows = [_rolled(check_id, hour, region_id, runs) for (hour, region_id), runs in hours.items()]
    fields = ["unknown", "up", "degraded", "down", "buckets", "numbers"]
    keys = ["check_id", "start", "region_id"]
    HourRollup.objects.bulk_create(rows, update_conflicts=True, update_fields=fields, unique_fields=keys)
    _roll_days_again([check_id], start, end)
    return len(rows)


def _rolled(check_id: uuid.UUID, start: int, region_id: int, runs: Sequence[CheckRun]) -> HourRollup:
    counts = Counter(VERDICTS[run.verdict] for run in runs)
    timed = Counter(bucket_of(run.duration_ms) for run in runs if VERDICTS[run.verdict] in GOOD and run.duration_ms >= 0)
    buckets = sorted(timed)
    return HourRollup(
        check_id=check_id, start=start, region_id=region_id, buckets=buckets, numbers=[timed[bucket] for bucket in buckets],
        **{verdict: counts[verdict] for verdict in VERDICTS},
    )  # fmt: skip


def prune_rollups(*, now: datetime) -> None:
    HourRollup.objects.filter(start__lt=to_ms(now - HOURS_KEPT)).delete()
    DayRollup.objects.filter(start__lt=to_ms(now - DAYS_KEPT)).delete()
