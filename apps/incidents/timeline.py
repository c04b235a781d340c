"""What happened in an incident, in the order of time, and what each project's pages list of incidents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.incidents.models import Incident, IncidentEvent, IncidentUpdate
from apps.orgs.models import User


@dataclass(frozen=True)
class Moment:
    """`kind`: opened, escalated, acknowledged, update, resolved."""

    at: datetime
    kind: str
    words: str
    detail: str = ""
    author: User | None = None
    is_public: bool = False


def moments(*, incident: Incident) -> list[Moment]:
    """Two queries. Each is told as it was when it happened."""
    events = list(IncidentEvent.objects.filter(incident=incident).exclude(kind=IncidentEvent.Kind.RESOLVED).order_by("seq"))
    told = [event for event in events if event.kind == IncidentEvent.Kind.WORSENED]
    opened_by = "Opened by a person" if incident.source == Incident.Source.PERSON else "First failing run"
    # An escalation overwrites the incident's reason: the first one is what its opening told.
    first = _reason(events[0]) if events else incident.message
    found = [Moment(incident.started_at, "opened", opened_by, first)]
    for event in told:
        found.append(Moment(event.created_at, "escalated", "From degraded to down", _reason(event)))
    if incident.acknowledged_at is not None:
        found.append(Moment(incident.acknowledged_at, "acknowledged", "Acknowledged", author=incident.acknowledged_by))
    for update in IncidentUpdate.objects.filter(incident=incident).select_related("author"):
        found.append(Moment(update.created_at, "update", "", update.text, update.author, update.is_public))
    if incident.resolved_at is not None:
        ended = {"check_deleted": "The check was deleted", "person": "Resolved by a person"}
        found.append(Moment(incident.resolved_at, "resolved", ended.get(incident.resolution, "Recovered")))
    return sorted(found, key=lambda moment: (moment.at, moment.kind == "resolved"))


def _reason(event: IncidentEvent) -> str:
    return str((event.payload.get("reason") or {}).get("message", ""))
