"""Writes results: runs in bulk and once only, state intervals, dead letters."""

from __future__ import annotations

import json
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Length

from apps.core.arrays import array_of
from apps.probes.wire import MAX_BODY, Run
from apps.results.models import HEALTHS, VERDICTS, Certificate, DeadLetter
from apps.results.rollups import mark_late
from apps.results.sums import delete_sums_from
from apps.telemetry.metrics import DEAD_LETTERS

_CONTENT_LIMIT = 20_000
_UNREADABLE_AN_HOUR = 100
_WHOLE_MESSAGES = 500
LETTERS_KEPT = timedelta(days=30)


@dataclass(frozen=True)
class RecordedRun:
    """A run of a region, and whether its facts are stored in full."""

    run: Run
    region_id: int
    keeps_facts: bool


_COLUMNS = (
    ("check_id", "uuid"),
    ("slot", "bigint"),
    ("region_id", "smallint"),
    ("revision", "integer"),
    ("started_after_ms", "smallint"),
    ("duration_ms", "integer"),
    ("recorded_after_s", "integer"),
    ("certificate_id", "integer"),
    ("dns_ms", "real"),
    ("connect_ms", "real"),
    ("tls_ms", "real"),
    ("first_byte_ms", "real"),
    ("verdict", "smallint"),
    ("code", "smallint"),
    ("reason", "text"),
    ("facts", "jsonb"),
)
_NAMES = ", ".join(name for name, _ in _COLUMNS)
INSERT_MANY = (
    f"INSERT INTO check_runs ({_NAMES}) SELECT r.* FROM unnest({', '.join(f'%s::{kind}[]' for _, kind in _COLUMNS)}) "  # noqa: S608
    f"AS r ({_NAMES})"
)
"""Inserts runs `r`, given as one array per column of `columns_of`. A JOIN may be appended."""
_INSERT = (
    f"INSERT INTO check_runs ({_NAMES}) SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for _, kind in _COLUMNS)}) "  # noqa: S608  # literals
    "ON CONFLICT DO NOTHING"
)
_TEXTS = {index for index, (_, kind) in enumerate(_COLUMNS) if kind in ("text", "jsonb")}


def record_runs(*, rows: Sequence[RecordedRun], now_ms: int) -> int:
    """Insert the runs that are new; return how many were. A run that exists already is ignored.

    Rows are sorted by key, since batches in different orders could deadlock.
    """
    if not rows:
        return 0
    ordered = sorted(rows, key=lambda row: (row.run.check.int, row.run.slot, row.region_id))
    columns = zip(*[columns_of(row, now_ms) for row in ordered], strict=True)
    parameters = [list(column) if index in _TEXTS else array_of(column) for index, column in enumerate(columns)]
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(_INSERT, parameters)
        recorded = int(cursor.rowcount)
        mark_late(runs=[(row.run.check, row.run.slot) for row in ordered], now_ms=now_ms)
        return recorded


def columns_of(row: RecordedRun, now_ms: int) -> tuple[Any, ...]:
    run = row.run
    phases = run.facts.get("phases_ms")
    phases = phases if isinstance(phases, dict) else {}
    facts: dict[str, Any] | None = None
    if row.keeps_facts:
        facts = {name: value for name, value in run.facts.items() if name != "certificate"}
        if run.message:
            facts["message"] = run.message
    return (
        run.check,
        run.slot,
        row.region_id,
        run.revision,
        max(-(2**15), min(run.started_at - run.slot, 2**15 - 1)),
        run.duration_ms,
        max(0, min((now_ms - run.slot) // 1000, 2**31 - 1)),
        _certificate_id(run.facts.get("certificate")),
        *(_milliseconds(phases.get(name)) for name in ("dns", "connect", "tls", "first_byte")),
        VERDICTS.index(run.verdict.value),
        _small(run.facts.get("status")),
        None if run.reason is None else run.reason.value,
        None if facts is None else json.dumps(facts),
    )


def _milliseconds(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 10**9 else None


def _small(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**15 else None


_certificates: OrderedDict[str, int] = OrderedDict()
_CERTIFICATES_KEPT = 20_000


def _certificate_id(facts: Any) -> int | None:
    fingerprint = facts.get("fingerprint") if isinstance(facts, dict) else None
    if not isinstance(fingerprint, str) or len(fingerprint) != 64:
        return None
    known = _certificates.get(fingerprint)
    if known is None:
        # The id is cached, so its row must not be rolled back: it is created before the batch's transaction begins.
        row, _ = Certificate.objects.get_or_create(fingerprint=fingerprint, defaults={"facts": facts})
        known = _certificates[fingerprint] = row.id
        if len(_certificates) > _CERTIFICATES_KEPT:
            _certificates.popitem(last=False)
    return known


def add_dead_letter(
    *, origin: DeadLetter.Origin, error: str, content: Any, now: datetime, region: str = "", check_id: uuid.UUID | None = None,
    limit: int = _CONTENT_LIMIT,
) -> None:  # fmt: skip
    """Store what could not be processed, cut to `limit` characters.

    Characters that PostgreSQL cannot store are escaped.
    """
    try:
        text = content if isinstance(content, str) else json.dumps(content, default=repr)
    except RecursionError:
        text = "(nested too deeply to be kept)"
    DEAD_LETTERS.labels(origin.value).inc()
    DeadLetter.objects.create(
        origin=origin,
        region=_storable(region)[:40],
        check_id=check_id,
        error=_storable(error)[:2_000],
        content=_storable(text)[:limit],
        created_at=now,
    )


def dead_letter_limit() -> int:
    """Return how many characters to keep of a message that failed through a fault of ours, to be processed again.

    All of it, unless many long ones are stored already: a fault that affects every message would fill the disk.
    """
    long = DeadLetter.objects.alias(size=Length("content")).filter(origin=DeadLetter.Origin.MESSAGE, size__gt=_CONTENT_LIMIT)
    return _CONTENT_LIMIT if long[_WHOLE_MESSAGES:].exists() else MAX_BODY


def add_unreadable(*, error: str, now: datetime) -> None:
    """Store a dead letter for an item of the broker that is no message: without content, and at most a hundred an hour.

    Whoever can write to the queue could write such items without end.
    """
    recent = DeadLetter.objects.filter(origin=DeadLetter.Origin.MESSAGE, content="", created_at__gt=now - timedelta(hours=1))
    if not recent[_UNREADABLE_AN_HOUR - 1 :].exists():
        add_dead_letter(origin=DeadLetter.Origin.MESSAGE, error=error, content="", now=now)


def prune_dead_letters(*, now: datetime) -> int:
    """Delete dead letters older than 30 days; return how many."""
    return DeadLetter.objects.filter(created_at__lt=now - LETTERS_KEPT).delete()[0]


def _storable(text: str) -> str:
    return text.replace("\x00", "\\u0000").encode("utf-8", "backslashreplace").decode()


# --- state intervals: each holds until the next row, the last until the check's first slot that is not settled


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
