"""The content of a status page: names, statuses and times, never targets, reasons or people."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.clock import DAY_MS, to_ms
from apps.incidents.history import histories
from apps.incidents.labels import worst
from apps.incidents.models import Incident, IncidentUpdate
from apps.incidents.selectors import status_now
from apps.monitors.models import Check
from apps.orgs.models import Project
from apps.results.bars import Bar, bar_of
from apps.results.uptime import Uptime, add_up, worst_of
from apps.statuspages.models import Component, StatusPage

DAYS = 90
PAST = timedelta(days=30)
_PAST_READ = 200
"""Resolved incidents of the page; those that people opened are left out if they have no public update."""
_SHORT_S = 300


CONDITIONS: dict[str, Promise] = {
    "operational": gettext_lazy("Operational"),
    "degraded_performance": gettext_lazy("Degraded performance"),
    "partial_outage": gettext_lazy("Partial outage"),
    "major_outage": gettext_lazy("Major outage"),
    "under_maintenance": gettext_lazy("Under maintenance"),
    "unknown": gettext_lazy("Unknown"),
}
"""How a component is called in public."""
_CONDITION_OF = {
    "up": "operational", "warn": "degraded_performance", "down": "major_outage", "maintenance": "under_maintenance",
}  # fmt: skip


@dataclass(frozen=True)
class ComponentLine:
    name: str
    group: str
    status: str
    condition: str
    """One of `CONDITIONS`."""
    uptime: Uptime
    days: Bar

    @property
    def words(self) -> Promise:
        return CONDITIONS[self.condition]


def condition_of(statuses: Sequence[str]) -> str:
    """Return a component's condition from the statuses of its checks: an outage of some of them is a partial one."""
    watched = [status for status in statuses if status not in ("paused", "pending")]
    status = worst(watched) if watched else "unknown"
    if status == "down" and any(other != "down" for other in watched):
        return "partial_outage"
    return _CONDITION_OF.get(status, "unknown")


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
    component: str = ""
    """Empty of one that people opened."""

    @property
    def length_s(self) -> float | None:
        return (self.resolved_at - self.started_at).total_seconds() if self.resolved_at else None

    @property
    def is_short(self) -> bool:
        return self.length_s is not None and self.length_s < _SHORT_S and not self.updates


@dataclass(frozen=True)
class PastDay:
    """The resolved incidents that began on a day (UTC), the newest first."""

    day: date
    incidents: list[PublicIncident]
    short: list[PublicIncident]
    """Outages that nobody wrote about and that were over soon: shown as one line."""

    @property
    def short_s(self) -> float:
        """How long the short ones were, together."""
        return sum(incident.length_s or 0 for incident in self.short)


def past_days(incidents: Sequence[PublicIncident]) -> list[PastDay]:
    """Group incidents by the day on which they began; a lone short one stands for itself."""
    found = []
    for day, group in groupby(incidents, key=lambda incident: incident.started_at.astimezone(UTC).date()):
        of_day = list(group)
        short = [incident for incident in of_day if incident.is_short]
        short = short if len(short) > 1 else []
        found.append(PastDay(day, [incident for incident in of_day if incident not in short], short))
    return found


@dataclass(frozen=True)
class PageView:
    page: StatusPage
    status: str
    sentence: str
    since: datetime | None
    """The start of the incident that `sentence` names, if it is the only open one."""
    groups: list[tuple[str, list[ComponentLine]]]
    open_incidents: list[PublicIncident]
    past_days: list[PastDay]
    made_at: datetime


def page_of(*, project: Project) -> StatusPage | None:
    return StatusPage.objects.filter(project=project).first()


def published_page(*, slug: str) -> StatusPage | None:
    return StatusPage.objects.filter(slug=slug, is_published=True).first()


def view_of(*, page: StatusPage, now: datetime) -> PageView:
    """Return the whole page, in a fixed number of queries."""
    components = list(Component.objects.filter(page=page).order_by("position", "pk"))
    checks = Check.objects.live().filter(resource__in=[c.resource_id for c in components])
    of: dict[uuid.UUID, list[Check]] = defaultdict(list)
    for check in checks.annotate(status=status_now(now)).select_related("state"):
        of[check.resource_id].append(check)
    lines = _lines(components, of, now)
    incidents = _incidents(page, components, of, now)
    going_on = [incident for incident in incidents if incident.resolved_at is None]
    status, sentence = overall(lines, going_on)
    named = [incident.started_at for incident in going_on if _is_about(sentence, incident)]
    groups: dict[str, list[ComponentLine]] = defaultdict(list)
    for line in lines:
        groups[line.group].append(line)
    return PageView(
        page=page,
        status=status,
        sentence=sentence,
        since=min(named, default=None),
        groups=list(groups.items()),
        open_incidents=going_on,
        past_days=past_days([incident for incident in incidents if incident.resolved_at is not None]),
        made_at=now,
    )


def _is_about(sentence: str, incident: PublicIncident) -> bool:
    """Whether the page's sentence names this incident, or the component that it belongs to."""
    return sentence == incident.title or (incident.component != "" and sentence.startswith(f"{incident.component}: "))


def _lines(components: Sequence[Component], of: dict[uuid.UUID, list[Check]], now: datetime) -> list[ComponentLine]:
    checks = [check for group in of.values() for check in group]
    first = (to_ms(now) // DAY_MS - DAYS + 1) * DAY_MS
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
                condition=condition_of(statuses),
                uptime=add_up(shown, to_ms(start), to_ms(now)),
                days=bar_of(shown, start=first, width=DAY_MS, count=DAYS),
            )
        )
    return lines


def overall(lines: Sequence[ComponentLine], going_on: Sequence[PublicIncident]) -> tuple[str, str]:
    """Return the page's status, and one sentence about the worst that is going on."""
    watched = [line for line in lines if line.status not in ("paused", "pending")]
    for status in ("down", "warn", "maintenance"):
        affected = [line for line in watched if line.status == status]
        if affected:
            return status, _sentence(affected, len(watched))
    if going_on:
        first = min(going_on, key=lambda incident: incident.severity != "down")
        more = _("%(count)d incidents are open") % {"count": len(going_on)}
        return first.severity, first.title if len(going_on) == 1 else more
    if not watched:
        return "pending", _("Nothing is measured yet")
    unknown = sum(line.status == "unknown" for line in watched)
    if unknown == len(watched):
        return "unknown", _("The state of all systems is unknown at the moment")
    if unknown:
        values = {"unknown": unknown, "count": len(watched)}
        return "unknown", _("No outage is known; the state of %(unknown)d of %(count)d components is unknown") % values
    return "up", _("All systems operational")


def _sentence(affected: Sequence[ComponentLine], watched: int) -> str:
    """Name one affected component, count several."""
    condition = affected[0].words if len({line.condition for line in affected}) == 1 else CONDITIONS["partial_outage"]
    if len(affected) == 1:
        return f"{affected[0].name}: {str(condition).lower()}"
    if len(affected) == watched:
        return str(condition)
    return _("%(condition)s: %(affected)d of %(count)d components") % {
        "condition": condition, "affected": len(affected), "count": watched,
    }  # fmt: skip


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
    visible = [*rows.open(), *past[:_PAST_READ]]
    updates: dict[uuid.UUID, list[PublicUpdate]] = defaultdict(list)
    for update in IncidentUpdate.objects.filter(incident__in=visible, is_public=True).order_by("-created_at"):
        updates[update.incident_id].append(PublicUpdate(update.created_at, update.text))
    found = []
    for incident in visible:
        name = names.get(incident.check_row_id) if incident.check_row_id else None
        if name is None and not (incident.source == Incident.Source.PERSON and updates[incident.pk]):
            continue
        what = _("outage") if incident.severity == "down" else _("degraded performance")
        title = incident.title if name is None else f"{name}: {what}"
        moments = (incident.started_at, incident.resolved_at)
        found.append(PublicIncident(title, incident.severity, *moments, updates[incident.pk], name or ""))
    return found
