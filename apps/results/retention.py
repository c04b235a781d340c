"""Deletes packed runs older than their project's `retention_days`; exports them to a file before, if configured."""

from __future__ import annotations

import gzip
import json
import logging
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import chain, count
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, OuterRef

from apps.core.clock import DAY_MS, from_ms, to_ms
from apps.monitors.models import Region
from apps.orgs.models import Project
from apps.results.models import VERDICTS, Certificate, PackedRuns
from apps.results.packing import StoredRun, unpack
from apps.results.partitions import day_of, partition_names

log = logging.getLogger(__name__)

_CHECKS = 500
"""Number of checks per step."""
_OLDEST = """
    SELECT min(p.start) FROM monitors_check AS c
    CROSS JOIN LATERAL (SELECT start FROM results_packedruns WHERE check_id = c.id ORDER BY start LIMIT 1) AS p
    WHERE c.project_id = %s
"""


def drop_old_runs(*, now: datetime, steps: int, export_to: Path | None) -> int:
    """Delete old runs in at most `steps` transactions; return how many were made.

    A step deletes one day of some checks of a project. If a project fails, its runs stay until the next time, and the
    other projects are not held up.
    """
    made = 0
    # A day that is still being packed may get more runs, which would be missing in its export file.
    packed_until = min((day_of(name) for name in partition_names()), default=to_ms(now))
    for project in Project.objects.order_by("pk"):
        cutoff = min(to_ms(now - timedelta(days=project.retention_days)) // DAY_MS * DAY_MS, packed_until)
        try:
            while made < steps and (day := _oldest_day(project)) is not None and day < cutoff:
                if not _drop_some(project, day, export_to):
                    break
                made += 1
        except (DatabaseError, OSError, ValueError):
            log.exception("runs of project %s that are kept no longer could not be dropped", project.pk)
    return made


def _oldest_day(project: Project) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST, [project.pk])
        oldest: int | None = cursor.fetchone()[0]
    return None if oldest is None else oldest // DAY_MS * DAY_MS


@transaction.atomic
def _drop_some(project: Project, day: int, export_to: Path | None) -> bool:
    """Delete the runs of some checks on a day; return False if another worker is at the same project.

    The export file is complete and on disk before the rows are deleted; after a crash in between, the same runs are
    exported again, to another file. Two workers at once would write the same file.
    """
    if not Project.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=project.pk).exists():
        return False
    of_day = PackedRuns.objects.filter(start__gte=day, start__lt=day + DAY_MS)
    checks = project.checks.filter(Exists(of_day.filter(check_id=OuterRef("pk"))))  # including deleted ones
    rows = of_day.filter(check_id__in=list(checks.order_by("pk").values_list("pk", flat=True)[:_CHECKS]))
    if export_to is not None:
        _export(rows.order_by("check_id", "start", "region_id").iterator(chunk_size=20), _path(export_to, project, day))
    rows.delete()
    return True


def _path(folder: Path, project: Project, day: int) -> Path:
    """Return a path that does not exist yet: runs that are packed after their day was exported get another file."""
    day_named = f"runs-{from_ms(day):%Y-%m-%d}"
    paths = (folder / str(project.pk) / f"{day_named}{part}.jsonl.gz" for part in chain([""], (f"-{n}" for n in count(2))))
    return next(path for path in paths if not path.exists())


def _export(rows: Iterable[PackedRuns], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    slugs = dict(Region.objects.values_list("id", "slug"))
    with draft.open("wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
            for row in rows:
                _write(packed, row, slugs)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _write(file: gzip.GzipFile, row: PackedRuns, slugs: dict[int, str]) -> None:
    runs = unpack(bytes(row.data))
    seen = {run.certificate_id for run in runs if run.certificate_id}
    prints = dict(Certificate.objects.filter(pk__in=seen).values_list("pk", "fingerprint"))
    for run in runs:
        line = {"check": str(row.check_id), "region": slugs.get(row.region_id, str(row.region_id)), **_export_row(run, prints)}
        file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def _export_row(run: StoredRun, prints: dict[int, str]) -> dict[str, Any]:
    """Return the run's data by the field names of the API."""
    phases = {name.removesuffix("_ms"): getattr(run, name) for name in ("dns_ms", "connect_ms", "tls_ms", "first_byte_ms")}
    return {
        "slot": from_ms(run.slot).isoformat(),
        "verdict": VERDICTS[run.verdict],
        "reason": run.reason,
        "started_at": from_ms(run.slot + run.started_after_ms).isoformat(),
        "latency_ms": None if run.duration_ms < 0 else run.duration_ms,
        "status": run.code,
        "phases_ms": {name: value for name, value in phases.items() if value is not None},
        "certificate": prints.get(run.certificate_id or 0),
        "facts": None if run.facts is None else json.loads(run.facts),
    }
