"""Summary of a project: checks by status, what needs attention, and a version that changes with the content.

An open page compares versions to learn whether anything is new.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, Sum

from apps.incidents.labels import PROBLEMS, RANKS, STATUSES, worst
from apps.incidents.models import Incident
from apps.incidents.selectors import ranked_checks
from apps.orgs.models import Project

_LIVELY, _CALM_MS = 300, 5_000
_NAMES = list(STATUSES)
_PROBLEM_RANKS = [RANKS[status] for status in PROBLEMS]


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
    sums = {"number": Count("pk"), "slot": Max("state__slot"), "since": Max("state__since"), "revisions": Sum("revision")}
    rows = ranked_checks(project=project, now=now).values("rank").annotate(**sums).order_by("rank")
    incidents = Incident.objects.open().filter(project=project)
    known = incidents.aggregate(number=Count("pk"), newest=Max("started_at"), seen=Max("acknowledged_at"))
    found = list(rows.values_list("rank", *sums))
    counts = {_NAMES[rank]: number for rank, number, *_ in found}
    # In a large project checks settle all the time; there, results alone change the version only every few seconds.
    step = 1 if sum(counts.values()) <= _LIVELY else _CALM_MS
    states = [(rank, number, slot // step, since, revisions) for rank, number, slot, since, revisions in found]
    parts = [*states, known["number"], known["newest"], known["seen"]]
    return ProjectSummary(counts, known["number"], str(uuid.uuid5(uuid.NAMESPACE_OID, repr(parts))))


def problem_checks(*, project: Project, limit: int, now: datetime) -> list[uuid.UUID]:
    """Return the ids of failing or unknown checks: the worst first, then the newest problem."""
    problems = ranked_checks(project=project, now=now).filter(rank__in=_PROBLEM_RANKS)
    return list(problems.order_by("rank", "-state__since", "pk").values_list("pk", flat=True)[:limit])


def problem_resources(*, project: Project, now: datetime) -> list[uuid.UUID]:
    """Return the ids of all resources with a failing or unknown check: the worst first, then by name."""
    problems = ranked_checks(project=project, now=now).filter(rank__in=_PROBLEM_RANKS).order_by()
    worst_of_each = problems.values("resource_id", "resource__name").annotate(worst=Min("rank"))
    return [row["resource_id"] for row in worst_of_each.order_by("worst", "resource__name", "resource_id")]
