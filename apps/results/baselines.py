"""Baselines of checks that report changes: what each region saw last, as reported by the check's kind."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from apps.results.models import Baseline
from apps.results.record_runs import RecordedRun

FACT = "baseline"
"""Name of the fact in which a kind reports the baseline."""

_NOTE = """
    INSERT INTO results_baseline AS b (check_id, region_id, revision, slot, value)
    SELECT * FROM unnest(%s::uuid[], %s::smallint[], %s::integer[], %s::bigint[], %s::jsonb[])
    ON CONFLICT (check_id, region_id) DO UPDATE SET revision = EXCLUDED.revision, slot = EXCLUDED.slot, value = EXCLUDED.value
    WHERE EXCLUDED.slot > b.slot
"""


def note_baselines(*, rows: Iterable[RecordedRun]) -> None:
    """Store the newest baseline per check and region from these runs; older runs than the stored one are ignored."""
    newest = {}
    for row in sorted(rows, key=lambda row: (row.run.check.int, row.region_id, row.run.slot)):
        if isinstance(row.run.facts.get(FACT), dict):
            newest[row.run.check, row.region_id] = row.run
    if not newest:
        return
    columns = zip(
        *((check, region, run.revision, run.slot, json.dumps(run.facts[FACT])) for (check, region), run in newest.items()),
        strict=True,
    )
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [list(column) for column in columns])


def baselines(*, check_ids: Sequence[uuid.UUID]) -> dict[tuple[uuid.UUID, int, int], dict[str, Any]]:
    """Return the last baselines by (check, revision, region). An edited check starts without one."""
    if not check_ids:
        return {}
    found = Baseline.objects.filter(check_id__in=check_ids)
    return {(row.check_id, row.revision, row.region_id): row.value for row in found}
