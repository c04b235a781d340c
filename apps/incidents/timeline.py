"""The timeline of an incident: what happened, in chronological order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from apps.incidents.models import Incident, IncidentEvent, IncidentUpdate, Severity
from apps.orgs.models import User


@dataclass(frozen=True)
class Moment:
    """One entry of the timeline. `kind` is opened, worsened, acknowledged, update or resolved."""

    at: datetime
    kind: str
    words: str
    detail: str = ""
    author: User | None = None
    is_public: bool = False


def moments(*, incident: Incident) -> list[Moment]:
    """Return the timeline in two queries, each entry with the reason as it was at the time."""
    events = list(IncidentEvent.objects.filter(incident=incident).exclude(kind=IncidentEvent.Kind.RESOLVED).order_by("seq"))
    worsenings = [event for event in events if event.kind == IncidentEvent.Kind.WORSENED]
    began_down = incident.severity == Severity.DOWN and not worsenings
    first_run = _("First failing run") if began_down else _("First degraded run")
    opened_by = _("Opened by a person") if incident.source == Incident.Source.PERSON else first_run
    # An escalation overwrites the incident's reason; the first event still has the original one.
    first = _reason(events[0]) if events else incident.message
    found = [Moment(incident.started_at, "opened", opened_by, first)]
    for event in worsenings:
        found.append(Moment(event.created_at, "worsened", _("Worsened from degraded to down"), _reason(event)))
    if incident.acknowledged_at is not None:
        found.append(Moment(incident.acknowledged_at, "acknowledged", _("Acknowledged"), author=incident.acknowledged_by))
    for update in IncidentUpdate.objects.filter(incident=incident).select_related("author"):
        found.append(Moment(update.created_at, "update", "", update.text, update.author, update.is_public))
    if incident.resolved_at is not None:
        ended = {"check_deleted": _("The check was deleted"), "person": _("Resolved by a person")}
        found.append(Moment(incident.resolved_at, "resolved", ended.get(incident.resolution, _("Recovered"))))
    return sorted(found, key=lambda moment: (moment.at, moment.kind == "resolved"))


def _reason(event: IncidentEvent) -> str:
    return str((event.payload.get("reason") or {}).get("message", ""))
