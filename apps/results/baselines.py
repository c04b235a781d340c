"""What checks compare with that tell of changes: what each region saw last, as its kind reported it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from apps.results.models import Baseline
from apps.results.services import RecordedRun

FACT = "baseline"
"""The fact by which a kind reports it."""

_NOTE = """
    INSERT INTO results_baseline AS b (check_id, region_id, revision, slot, value)
    SELECT * FROM unnest(%s::uuid[], %s::smallint[], %s::integer[], %s::bigint[], %s::jsonb[])
    ON CONFLICT (check_id, region_id) DO UPDATE SET revision = EXCLUDED.revision, slot = EXCLUDED.slot, value = EXCLUDED.value
    WHERE EXCLUDED.slot > b.slot
"""


def note_baselines(*, rows: Iterable[RecordedRun]) -> None:
    """Keep what these runs reported, the newest of each check and region. A run that comes late changes nothing."""
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
    """(check, revision, region) to what was seen last; an edited check begins anew."""
    if not check_ids:
        return {}
    found = Baseline.objects.filter(check_id__in=check_ids)
    return {(row.check_id, row.revision, row.region_id): row.value for row in found}
