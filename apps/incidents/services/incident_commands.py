"""People's answers to incidents: acknowledge, resolve, open one by hand."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from apps.incidents.models import Incident, IncidentUpdate, Severity
from apps.incidents.services.check_commands import StateForbidsError, resolve_while_paused
from apps.orgs.actors import Actor
from apps.orgs.audit import record_act
from apps.orgs.models import Project, User


@transaction.atomic
def acknowledge_incident(*, actor: Actor, incident: Incident, user: User | None, now: datetime) -> Incident:
    """Raises StateForbidsError when it is resolved; acknowledging twice keeps the first."""
    locked = Incident.objects.select_for_update(of=("self",)).get(pk=incident.pk)
    if locked.status == Incident.Status.RESOLVED:
        raise StateForbidsError("resolved", "The incident is resolved.")
    if locked.status == Incident.Status.OPEN:
        locked.status = Incident.Status.ACKNOWLEDGED
        locked.acknowledged_at, locked.acknowledged_by = now, user
        locked.save(update_fields=["status", "acknowledged_at", "acknowledged_by"])
        record_act(actor=actor, action="incident.acknowledged", subject=locked, now=now)
    return locked


@transaction.atomic
def resolve_incident(*, actor: Actor, incident: Incident, now: datetime) -> Incident:
    """Raises StateForbidsError: a machine's incident ends by recovery, or by a person while its check is paused."""
    if incident.status == Incident.Status.RESOLVED:
        raise StateForbidsError("resolved", "The incident is resolved.")
    if incident.source == Incident.Source.MACHINE and incident.check_row_id is not None:
        resolve_while_paused(check_id=incident.check_row_id, now=now)
    else:
        open_ones = Incident.objects.filter(pk=incident.pk).exclude(status=Incident.Status.RESOLVED)
        open_ones.update(status=Incident.Status.RESOLVED, resolved_at=now, resolution="person")
    incident.refresh_from_db()
    record_act(actor=actor, action="incident.resolved", subject=incident, now=now)
    return incident


@transaction.atomic
def open_incident(*, actor: Actor, project: Project, title: str, severity: Severity, message: str, now: datetime) -> Incident:
    """One that a person saw; nothing but a person ends it."""
    incident = Incident.objects.create(
        organization_id=project.organization_id,
        project=project,
        source=Incident.Source.PERSON,
        title=title,
        severity=severity,
        message=message,
        started_at=now,
    )
    record_act(actor=actor, action="incident.opened", subject=incident, now=now, after={"title": title, "severity": severity})
    return incident


@transaction.atomic
def add_update(
    *, actor: Actor, incident: Incident, author: User | None, text: str, is_public: bool, now: datetime
) -> IncidentUpdate:
    """What a person has to say; a public one stands on the status page too."""
    update = IncidentUpdate.objects.create(
        organization_id=incident.organization_id, incident=incident, author=author, text=text, is_public=is_public, created_at=now
    )
    record_act(actor=actor, action="incident.updated", subject=incident, now=now, after={"text": text, "is_public": is_public})
    return update
