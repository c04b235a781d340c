"""People's answers to incidents: acknowledge, resolve, open one by hand."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from apps.incidents.models import Incident, IncidentUpdate, Severity
from apps.incidents.services.check_commands import StateForbidsError, resolve_while_paused
from apps.orgs.models import Project, User


@transaction.atomic
def acknowledge_incident(*, incident: Incident, user: User | None, now: datetime) -> Incident:
    """Raises StateForbidsError when it is resolved; acknowledging twice keeps the first."""
    locked = Incident.objects.select_for_update(of=("self",)).get(pk=incident.pk)
    if locked.status == Incident.Status.RESOLVED:
        raise StateForbidsError("resolved", "The incident is resolved.")
    if locked.status == Incident.Status.OPEN:
        locked.status = Incident.Status.ACKNOWLEDGED
        locked.acknowledged_at, locked.acknowledged_by = now, user
        locked.save(update_fields=["status", "acknowledged_at", "acknowledged_by"])
    return locked


@transaction.atomic
def resolve_incident(*, incident: Incident, now: datetime) -> Incident:
    """Raises StateForbidsError: a machine's incident ends by recovery, or by a person while its check is paused."""
    if incident.status == Incident.Status.RESOLVED:
        raise StateForbidsError("resolved", "The incident is resolved.")
    if incident.source == Incident.Source.MACHINE and incident.check_row_id is not None:
        resolve_while_paused(check_id=incident.check_row_id, now=now)
    else:
        open_ones = Incident.objects.filter(pk=incident.pk).exclude(status=Incident.Status.RESOLVED)
        open_ones.update(status=Incident.Status.RESOLVED, resolved_at=now, resolution="person")
    incident.refresh_from_db()
    return incident


def open_incident(*, project: Project, title: str, severity: Severity, message: str, now: datetime) -> Incident:
    """One that a person saw; nothing but a person ends it."""
    return Incident.objects.create(
        organization_id=project.organization_id,
        project=project,
        source=Incident.Source.PERSON,
        title=title,
        severity=severity,
        message=message,
        started_at=now,
    )


def add_update(*, incident: Incident, author: User | None, text: str, is_public: bool, now: datetime) -> IncidentUpdate:
    """What a person has to say; a public one stands on the status page too."""
    return IncidentUpdate.objects.create(
        organization_id=incident.organization_id, incident=incident, author=author, text=text, is_public=is_public, created_at=now
    )
