"""How a project stands: counts by status, what is wrong, and a version by which an open page knows that nothing is new.

One pass over narrow rows each, by hand: of ten thousand checks the mapper's own work would take as long as the database's.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, Max

from apps.core.clock import to_ms
from apps.incidents.machine import SLACK_MS
from apps.incidents.models import Incident
from apps.incidents.words import RANKS, STATUSES, WRONG, worst
from apps.orgs.models import Project

_LIVELY, _CALM_MS = 300, 5_000
_NAMES = list(STATUSES)
_RANKS = " ".join(f"WHEN '{status}' THEN {rank}" for status, rank in RANKS.items())
# `selectors.rank_now` in SQL; a test holds the two together.
_STANDING = f"""
    SELECT c.id, c.resource_id, c.revision, s.slot, s.since,
        CASE WHEN c.is_paused THEN {RANKS["paused"]} WHEN s.due < %(last_due)s - c.timeout_s * 1000 THEN {RANKS["unknown"]}
            ELSE CASE s.status {_RANKS} END END AS rank
    FROM monitors_check AS c JOIN incidents_checkstate AS s ON s.check_row_id = c.id
    WHERE c.project_id = %(project)s AND c.deleted_at IS NULL
"""  # noqa: S608  # literals


@dataclass(frozen=True)
class ProjectSummary:
    """`version` changes whenever something that a list shows may have."""

    counts: dict[str, int]
    """By status, the worst first."""
    open_incidents: int
    version: str

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def wrong(self) -> int:
        return sum(self.counts.get(status, 0) for status in WRONG)

    @property
    def worst(self) -> str:
        return worst([status for status, number in self.counts.items() if number and status != "paused"])


def summarize_project(*, project: Project, now: datetime) -> ProjectSummary:
    """Two queries, whatever the size of the project."""
    sums = "count(*), max(slot), max(since), sum(revision)"
    rows = _asked(f"SELECT rank, {sums} FROM ({_STANDING}) AS standing GROUP BY 1 ORDER BY 1", project, now)  # noqa: S608  # literals
    incidents = Incident.objects.filter(project=project).exclude(status=Incident.Status.RESOLVED)
    known = incidents.aggregate(number=Count("pk"), newest=Max("started_at"), seen=Max("acknowledged_at"))
    counts = {_NAMES[row[0]]: row[1] for row in rows}
    # In a large project something settles at every moment: there, results alone make a new version every few seconds.
    step = 1 if sum(counts.values()) <= _LIVELY else _CALM_MS
    states = [(rank, number, slot // step, since, revisions) for rank, number, slot, since, revisions in rows]
    parts = [*states, known["number"], known["newest"], known["seen"]]
    return ProjectSummary(counts, known["number"], str(uuid.uuid5(uuid.NAMESPACE_OID, repr(parts))))


def wrong_checks(*, project: Project, limit: int, now: datetime) -> list[uuid.UUID]:
    """The worst first, of equals the newest."""
    statement = f"""
        SELECT id FROM ({_STANDING}) AS standing WHERE rank = ANY(%(wrong)s) ORDER BY rank, since DESC, id LIMIT %(limit)s
    """  # noqa: S608  # literals
    return [row[0] for row in _asked(statement, project, now, limit=limit)]


def wrong_resources(*, project: Project, now: datetime) -> list[uuid.UUID]:
    """Those with a check that is wrong, the worst first, then by name; all of them."""
    statement = f"""
        SELECT r.id FROM ({_STANDING}) AS standing JOIN monitors_resource AS r ON r.id = resource_id
        WHERE rank = ANY(%(wrong)s) GROUP BY r.id, r.name ORDER BY min(rank), r.name, r.id
    """  # noqa: S608  # literals
    return [row[0] for row in _asked(statement, project, now)]


def _asked(statement: str, project: Project, now: datetime, **more: Any) -> Sequence[Any]:
    wrong = [RANKS[status] for status in WRONG]
    values = {"project": project.pk, "last_due": to_ms(now) - SLACK_MS, "wrong": wrong, **more}
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[Any] = cursor.fetchall()
    return rows
