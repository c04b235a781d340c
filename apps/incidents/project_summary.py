"""Summary of a project: checks by status, what needs attention, and a version that changes with the content.

An open page compares versions to learn whether anything is new. Written in SQL, as one scan over few columns: for ten
thousand checks the ORM alone would take as long as the database.
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
from apps.incidents.words import PROBLEMS, RANKS, STATUSES, worst
from apps.orgs.models import Project

_LIVELY, _CALM_MS = 300, 5_000
_NAMES = list(STATUSES)
_RANKS = " ".join(f"WHEN '{status}' THEN {rank}" for status, rank in RANKS.items())
# The same rule as `selectors.rank_now`, in SQL; a test compares the two.
_CHECK_RANKS = f"""
    SELECT c.id, c.resource_id, c.revision, s.slot, s.since,
        CASE WHEN c.is_paused THEN {RANKS["paused"]} WHEN s.due < %(last_due)s - c.timeout_s * 1000 THEN {RANKS["unknown"]}
            ELSE CASE s.status {_RANKS} END END AS rank
    FROM monitors_check AS c JOIN incidents_checkstate AS s ON s.check_row_id = c.id
    WHERE c.project_id = %(project)s AND c.deleted_at IS NULL
"""  # noqa: S608  # literals


@dataclass(frozen=True)
class ProjectSummary:
    """Counts of a project. `version` changes whenever something that a list shows may have changed."""

    counts: dict[str, int]
    """Number of checks by status, worst status first."""
    open_incidents: int
    version: str

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def problems(self) -> int:
        return sum(self.counts.get(status, 0) for status in PROBLEMS)

    @property
    def worst(self) -> str:
        return worst([status for status, number in self.counts.items() if number and status != "paused"])


def summarize_project(*, project: Project, now: datetime) -> ProjectSummary:
    """Summarize a project in two queries, whatever its size."""
    sums = "count(*), max(slot), max(since), sum(revision)"
    rows = _query(f"SELECT rank, {sums} FROM ({_CHECK_RANKS}) AS standing GROUP BY 1 ORDER BY 1", project, now)  # noqa: S608  # literals
    incidents = Incident.objects.filter(project=project).exclude(status=Incident.Status.RESOLVED)
    known = incidents.aggregate(number=Count("pk"), newest=Max("started_at"), seen=Max("acknowledged_at"))
    counts = {_NAMES[row[0]]: row[1] for row in rows}
    # In a large project some round settles at every moment: there, new results change the version every 5 s only.
    step = 1 if sum(counts.values()) <= _LIVELY else _CALM_MS
    states = [(rank, number, slot // step, since, revisions) for rank, number, slot, since, revisions in rows]
    parts = [*states, known["number"], known["newest"], known["seen"]]
    return ProjectSummary(counts, known["number"], str(uuid.uuid5(uuid.NAMESPACE_OID, repr(parts))))


def problem_checks(*, project: Project, limit: int, now: datetime) -> list[uuid.UUID]:
    """Return the ids of checks that need attention: worst status first, then the most recent change."""
    statement = f"""
        SELECT id FROM ({_CHECK_RANKS}) AS standing WHERE rank = ANY(%(wrong)s) ORDER BY rank, since DESC, id LIMIT %(limit)s
    """  # noqa: S608  # literals
    return [row[0] for row in _query(statement, project, now, limit=limit)]


def problem_resources(*, project: Project, now: datetime) -> list[uuid.UUID]:
    """Return the ids of all resources with a check that needs attention: worst status first, then by name."""
    statement = f"""
        SELECT r.id FROM ({_CHECK_RANKS}) AS standing JOIN monitors_resource AS r ON r.id = resource_id
        WHERE rank = ANY(%(wrong)s) GROUP BY r.id, r.name ORDER BY min(rank), r.name, r.id
    """  # noqa: S608  # literals
    return [row[0] for row in _query(statement, project, now)]


def _query(statement: str, project: Project, now: datetime, **more: Any) -> Sequence[Any]:
    wrong = [RANKS[status] for status in PROBLEMS]
    values = {"project": project.pk, "last_due": to_ms(now) - SLACK_MS, "wrong": wrong, **more}
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[Any] = cursor.fetchall()
    return rows
