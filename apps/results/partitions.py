"""Daily partitions of `check_runs`: creates them ahead of time, rebuilds indexes of past days, drops empty ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from apps.core.clock import DAY_MS, to_ms

AHEAD_DAYS = 3
PAST_DAYS = 1  # a run may arrive a day late
_SETTLED = timedelta(minutes=10)
_REBUILT = "rebuilt"
_REBUILDING = 0x676F7570  # key of our advisory lock


def ensure_partitions(*, now: datetime) -> list[str]:
    """Create the missing partitions around `now`; return their names."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return [name for day in range(-PAST_DAYS, AHEAD_DAYS + 1) if (name := _ensure(today + timedelta(days=day)))]


def partition_names() -> list[str]:
    """Return the names of all partitions, oldest first."""
    statement = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'check_runs'::regclass ORDER BY 1"
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return [row[0] for row in cursor.fetchall()]


def day_of(name: str) -> int:
    """Return the start of a partition's day, in epoch ms."""
    return to_ms(datetime.strptime(f"{name[-8:]}+0000", "%Y%m%d%z"))


def ensure_days(*, first: datetime, days: int) -> None:
    """Create partitions of past days, for history that is written afterwards."""
    start = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for day in range(days):
        _ensure(start + timedelta(days=day))


def rebuild_closed_indexes(*, now: datetime) -> list[str]:
    """Rebuild the index of each past day once, which saves two fifths of it; return the partitions' names.

    Page splits leave the index half empty. The rebuild blocks neither readers nor writers, must run outside of a
    transaction, and in one process at a time: a second one would take the index under construction for a leftover and
    drop it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_REBUILDING])
        if not cursor.fetchone()[0]:
            return []
    try:
        return _rebuild_closed_indexes(now)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_REBUILDING])


def _rebuild_closed_indexes(now: datetime) -> list[str]:
    rebuilt = []
    for name in partition_names():
        index = f"{name}_pkey"
        if day_of(name) + DAY_MS > to_ms(now - _SETTLED):
            break
        with connection.cursor() as cursor:
            cursor.execute("SELECT obj_description(%s::regclass, 'pg_class')", [index])
            if cursor.fetchone()[0] == _REBUILT:
                continue
            cursor.execute("SET statement_timeout = 0; SET lock_timeout = 0")  # REINDEX waits for open transactions
            cursor.execute(f"DROP INDEX IF EXISTS {index}_ccnew")  # left by an interrupted rebuild
            try:
                cursor.execute(f"REINDEX INDEX CONCURRENTLY {index}")
                cursor.execute(f"COMMENT ON INDEX {index} IS '{_REBUILT}'")
            finally:
                cursor.execute("RESET statement_timeout; RESET lock_timeout")
        rebuilt.append(name)
    return rebuilt


@transaction.atomic
def drop_empty_days() -> list[str]:
    """Drop empty partitions of past days, except those around today; return their names."""
    dropped = []
    for name in partition_names()[: -(PAST_DAYS + AHEAD_DAYS + 1)]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {name})")
            if not cursor.fetchone()[0]:
                cursor.execute(f"DROP TABLE {name}")
                dropped.append(name)
    return dropped


@transaction.atomic
def _ensure(day: datetime) -> str | None:
    name = f"check_runs_{day:%Y%m%d}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone()[0] is not None:
            return None
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('check_runs partitions'))")
        bounds = (to_ms(day), to_ms(day + timedelta(days=1)))
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF check_runs FOR VALUES FROM ({bounds[0]}) TO ({bounds[1]})"
        )
    return name
