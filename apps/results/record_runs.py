"""Records runs: many in one statement, each once, however often it arrives."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from apps.core.arrays import array_of
from apps.probes.wire import Run
from apps.results.models import VERDICTS, Certificate
from apps.results.rollups import mark_late


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
    f"INSERT INTO check_runs ({_NAMES}) SELECT r.* FROM unnest({', '.join(f'%s::{kind}[]' for _, kind in _COLUMNS)}) "  # noqa: S608  # literals
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
