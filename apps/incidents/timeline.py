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
    told = IncidentEvent.objects.filter(incident=incident, kind=IncidentEvent.Kind.ESCALATED).order_by("seq")
    opened_by = "Opened by a person" if incident.source == Incident.Source.PERSON else "First failing run"
    found = [Moment(incident.started_at, "opened", opened_by, incident.message)]
    for event in told:
        reason = event.payload.get("reason") or {}
        found.append(Moment(event.created_at, "escalated", "From degraded to down", reason.get("message", "")))
    if incident.acknowledged_at is not None:
        found.append(Moment(incident.acknowledged_at, "acknowledged", "Acknowledged", author=incident.acknowledged_by))
    for update in IncidentUpdate.objects.filter(incident=incident).select_related("author"):
        found.append(Moment(update.created_at, "update", "", update.text, update.author, update.is_public))
    if incident.resolved_at is not None:
        ended = {"check_deleted": "The check was deleted", "person": "Resolved by a person"}
        found.append(Moment(incident.resolved_at, "resolved", ended.get(incident.resolution, "Recovered")))
    return sorted(found, key=lambda moment: (moment.at, moment.kind == "resolved"))
