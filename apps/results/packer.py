"""Packs the partitions of past days and drops them, in small steps that can be restarted.

A day is packed check by check, with a cursor in the same transaction; packing again merges, so that nothing is lost or
duplicated. A partition is dropped only under its own lock, and only if as many of its runs are packed as it holds.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, connection, transaction

from apps.core.clock import DAY_MS, HOUR_MS, to_ms
from apps.results.models import PackCursor, PackedRuns
from apps.results.packing import StoredRun, pack, unpack
from apps.results.partitions import day_of, partition_names
from apps.results.rollups import done_until, has_late_hours
from apps.results.runs import HOT_DAYS

log = logging.getLogger(__name__)

_RUNS_A_STEP = 50_000
_RUNS_A_ROW, _FACTS_A_READ = 3_000, 8_000_000
"""With more runs of a region or more text of facts in a day, each hour is read and packed separately.

That bounds memory, and a page of runs unpacks hardly more than it shows.
"""

_NEXT_CHECKS = """
    WITH RECURSIVE found (id) AS (
        (SELECT check_id FROM {partition} WHERE check_id > %(after)s ORDER BY check_id LIMIT 1)
        UNION ALL
        SELECT (SELECT check_id FROM {partition} WHERE check_id > found.id ORDER BY check_id LIMIT 1)
        FROM found WHERE id IS NOT NULL
    ) SELECT id FROM found WHERE id IS NOT NULL LIMIT 200
"""
_NAMES = StoredRun.__slots__
_ARRAYS = ", ".join(f"array_agg({'facts::text' if name == 'facts' else name} ORDER BY slot)" for name in _NAMES)
_RUNS = f"""
    SELECT region_id, {_ARRAYS} FROM {{partition}} WHERE check_id = %s AND slot >= %s AND slot < %s GROUP BY region_id
"""  # noqa: S608  # literals
_WEIGHT = """
    SELECT count(*), coalesce(sum(length(facts::text)), 0) FROM {partition} WHERE check_id = %s GROUP BY region_id
"""


def pack_oldest_partition(*, now: datetime, steps: int) -> int:
    """Make at most `steps` steps; return how many were made.

    A step packs some checks of the oldest partition that is due, or drops the partition.
    """
    made = 0
    while made < steps and _pack_step(now):
        made += 1
    return made


@transaction.atomic
def _pack_step(now: datetime) -> bool:
    PackCursor.objects.get_or_create(pk=1)
    cursor = PackCursor.objects.select_for_update().get(pk=1)
    name = next(iter(partition_names()), None)
    if name is None or not _is_due(day_of(name), now):
        return False
    if cursor.day != day_of(name):
        cursor.day, cursor.after, cursor.packed = day_of(name), None, 0
    checks = _checks_of(name, cursor.after)
    if not checks:
        return _drop(name, cursor)
    done = 0
    for check_id in checks:
        done += _pack_check(name, check_id, day_of(name))
        cursor.after = check_id
        if done >= _RUNS_A_STEP:
            break
    cursor.packed += done
    cursor.save()
    return True


def _is_due(day: int, now: datetime) -> bool:
    """Return whether the day ended two days ago and is rolled up, including its late hours."""
    end = day + DAY_MS
    return end <= to_ms(now - timedelta(days=HOT_DAYS)) and done_until("hour") >= end and not has_late_hours(day, end)


def _checks_of(partition: str, after: uuid.UUID | None) -> list[uuid.UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_CHECKS.format(partition=partition), {"after": after or uuid.UUID(int=0)})
        return [row[0] for row in cursor.fetchall()]


def _pack_check(partition: str, check_id: uuid.UUID, day: int) -> int:
    """Pack all runs of a check in a partition; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_WEIGHT.format(partition=partition), [check_id])
        regions = cursor.fetchall()
    is_heavy = any(runs > _RUNS_A_ROW for runs, _ in regions) or sum(facts for _, facts in regions) > _FACTS_A_READ
    width = HOUR_MS if is_heavy else DAY_MS
    return sum(_pack_span(partition, check_id, start, width) for start in range(day, day + DAY_MS, width))


def _pack_span(partition: str, check_id: uuid.UUID, start: int, width: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_RUNS.format(partition=partition), [check_id, start, start + width])
        rows: list[Any] = cursor.fetchall()
    count = 0
    for region_id, *columns in rows:
        runs = [StoredRun(*values) for values in zip(*columns, strict=True)]
        count += len(runs)
        _put_packed(check_id, region_id, start, width, runs)
    return count


def _put_packed(check_id: uuid.UUID, region_id: int, start: int, width: int, runs: Sequence[StoredRun]) -> None:
    """Pack runs of an hour or a day, merged with those packed before. A run that is already packed is not replaced."""
    day = start // DAY_MS * DAY_MS
    of_day = PackedRuns.objects.filter(check_id=check_id, region_id=region_id, start__gte=day, start__lt=start + width)
    there = list(of_day.filter(last__gte=start))  # a row of the whole day may hold runs of this hour
    before = {run.slot: run for row in there for run in unpack(bytes(row.data))}
    merged = sorted({**{run.slot: run for run in runs}, **before}.values(), key=lambda run: run.slot)
    if there:
        of_day.filter(last__gte=start).delete()
    is_by_hour = width == HOUR_MS or len(merged) > _RUNS_A_ROW or any(row.start != day for row in there)
    spans = _hours(merged) if is_by_hour else [(day, merged)]
    PackedRuns.objects.bulk_create([_row(check_id, region_id, first, part) for first, part in spans])


def _hours(runs: Sequence[StoredRun]) -> Iterable[tuple[int, list[StoredRun]]]:
    hours: dict[int, list[StoredRun]] = defaultdict(list)
    for run in runs:
        hours[run.slot // HOUR_MS * HOUR_MS].append(run)
    return hours.items()


def _row(check_id: uuid.UUID, region_id: int, start: int, runs: Sequence[StoredRun]) -> PackedRuns:
    verdicts = 0
    for verdict in {run.verdict for run in runs}:
        verdicts |= 1 << verdict
    return PackedRuns(
        check_id=check_id, region_id=region_id, start=start, last=runs[-1].slot, count=len(runs), verdicts=verdicts,
        data=pack(runs),
    )  # fmt: skip


def _drop(partition: str, cursor: PackCursor) -> bool:
    """Drop the packed partition, or start over if runs arrived after their check was packed.

    Return False if it is in use.
    """
    try:
        with transaction.atomic(), connection.cursor() as database:
            # While it counts, the lock blocks only writers of that old day. The drop then blocks everyone, but briefly.
            database.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '2s'")
            database.execute(f"LOCK TABLE {partition} IN SHARE MODE")
            database.execute(f"SELECT count(*) FROM {partition}")  # noqa: S608  # a name made of a date
            held = database.fetchone()[0]
            if held == cursor.packed:
                database.execute(f"DROP TABLE {partition}")
    except OperationalError as error:
        log.info("partition %s is in use, it is dropped later: %s", partition, str(error).splitlines()[0])
        return False
    if held != cursor.packed:
        log.info("partition %s got runs while it was packed: once more", partition)
    cursor.day, cursor.after, cursor.packed = None, None, 0
    cursor.save()
    return True
