"""The content of a status page: names, statuses and times, never targets, reasons or people."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from apps.core.clock import to_ms
from apps.incidents.history import histories
from apps.incidents.models import Incident, IncidentUpdate
from apps.incidents.selectors import status_now
from apps.incidents.words import worst
from apps.monitors.models import Check
from apps.orgs.models import Project
from apps.results.uptime import Cell, add_up, cells, worst_of
from apps.statuspages.models import Component, StatusPage

DAYS = 90
PAST = timedelta(days=30)
_PAST_SHOWN, _PAST_READ = 20, 100
"""More are read than shown, since incidents that people opened are left out if they have no public update."""
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class ComponentLine:
    name: str
    group: str
    status: str
    uptime: float | None
    days: list[Cell]


@dataclass(frozen=True)
class PublicUpdate:
    at: datetime
    text: str


@dataclass(frozen=True)
class PublicIncident:
    title: str
    severity: str
    started_at: datetime
    resolved_at: datetime | None
    updates: list[PublicUpdate]

    @property
    def length_s(self) -> float | None:
        return (self.resolved_at - self.started_at).total_seconds() if self.resolved_at else None


@dataclass(frozen=True)
class PageView:
    page: StatusPage
    status: str
    sentence: str
    since: datetime | None
    """The start of the incident that `sentence` names, if it is the only open one."""
    groups: list[tuple[str, list[ComponentLine]]]
    open_incidents: list[PublicIncident]
    past_incidents: list[PublicIncident]
    made_at: datetime


def page_of(*, project: Project) -> StatusPage | None:
    return StatusPage.objects.filter(project=project).first()


def published_page(*, slug: str) -> StatusPage | None:
    return StatusPage.objects.filter(slug=slug, is_published=True).first()


def view_of(*, page: StatusPage, now: datetime) -> PageView:
    """Return the whole page, in a fixed number of queries."""
    components = list(Component.objects.filter(page=page).order_by("position", "pk"))
    checks = Check.objects.filter(resource__in=[c.resource_id for c in components], deleted_at=None)
    of: dict[uuid.UUID, list[Check]] = defaultdict(list)
    for check in checks.annotate(status=status_now(now)).select_related("state"):
        of[check.resource_id].append(check)
    lines = _lines(components, of, now)
    incidents = _incidents(page, components, of, now)
    going_on = [incident for incident in incidents if incident.resolved_at is None]
    status, sentence = overall(lines, going_on)
    groups: dict[str, list[ComponentLine]] = defaultdict(list)
    for line in lines:
        groups[line.group].append(line)
    return PageView(
        page=page,
        status=status,
        sentence=sentence,
        since=going_on[0].started_at if len(going_on) == 1 and sentence == going_on[0].title else None,
        groups=list(groups.items()),
        open_incidents=going_on,
        past_incidents=[incident for incident in incidents if incident.resolved_at is not None][:_PAST_SHOWN],
        made_at=now,
    )


def _lines(components: Sequence[Component], of: dict[uuid.UUID, list[Check]], now: datetime) -> list[ComponentLine]:
    checks = [check for group in of.values() for check in group]
    first = (to_ms(now) // _DAY_MS - DAYS + 1) * _DAY_MS
    start = now - timedelta(days=DAYS)
    spans = histories(checks=checks, start=start, end=now)
    lines = []
    for component in components:
        mine = of[component.resource_id]
        shown = worst_of([spans[check.pk] for check in mine])
        statuses = [check.status for check in mine]  # type: ignore[attr-defined]  # annotated by the caller
        lines.append(
            ComponentLine(
                name=component.name,
                group=component.group,
                status=worst(statuses),
                uptime=add_up(shown, to_ms(start), to_ms(now)).ratio,
                days=cells(shown, start=first, width=_DAY_MS, count=DAYS),
            )
        )
    return lines


_WRONG = (("down", "down"), ("warn", "degraded"), ("maintenance", "under maintenance"))


def overall(lines: Sequence[ComponentLine], going_on: Sequence[PublicIncident]) -> tuple[str, str]:
    """Return the page's status, and a sentence about the worst current problem."""
    told = [line for line in lines if line.status not in ("paused", "pending")]
    for status, words in _WRONG:
        names = [line.name for line in told if line.status == status]
        if len(names) == 1:
            return status, f"{names[0]} is {words}"
        if names:
            return status, f"Everything is {words}" if len(names) == len(
                told
            ) else f"{len(names)} of {len(told)} parts are {words}"
    if going_on:
        first = min(going_on, key=lambda incident: incident.severity != "down")
        return first.severity, first.title if len(going_on) == 1 else f"{len(going_on)} incidents are going on"
    if not told:
        return "pending", "Nothing is measured yet"
    unknown = sum(line.status == "unknown" for line in told)
    if unknown == len(told):
        return "unknown", "The state is not known at the moment"
    if unknown:
        return "unknown", f"Nothing is known to be down; the state of {unknown} of {len(told)} parts is not known"
    return "up", "All systems work"


def _incidents(
    page: StatusPage, components: Sequence[Component], of: dict[uuid.UUID, list[Check]], now: datetime
) -> list[PublicIncident]:
    """Return the incidents of the components' checks, and those opened by people that have a public update.

    Open ones come first, and within each group the newest.
    """
    names = {check.pk: component.name for component in components for check in of[component.resource_id]}
    shown = Q(check_row__in=list(names)) | Q(source=Incident.Source.PERSON)
    rows = Incident.objects.filter(shown, project=page.project_id).order_by("-started_at")
    past = rows.filter(status=Incident.Status.RESOLVED, started_at__gt=now - PAST)
    told = [*rows.exclude(status=Incident.Status.RESOLVED), *past[:_PAST_READ]]
    updates: dict[uuid.UUID, list[PublicUpdate]] = defaultdict(list)
    for update in IncidentUpdate.objects.filter(incident__in=told, is_public=True).order_by("-created_at"):
        updates[update.incident_id].append(PublicUpdate(update.created_at, update.text))
    found = []
    for incident in told:
        name = names.get(incident.check_row_id) if incident.check_row_id else None
        if name is None and not (incident.source == Incident.Source.PERSON and updates[incident.pk]):
            continue
        state = "down" if incident.severity == "down" else "degraded"
        title = incident.title if name is None else f"{name} {'was' if incident.resolved_at else 'is'} {state}"
        found.append(PublicIncident(title, incident.severity, incident.started_at, incident.resolved_at, updates[incident.pk]))
    return found
