"""Commands of people on incidents: acknowledge, resolve, open one by hand, add an update."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from apps.incidents.models import Incident, IncidentUpdate, Severity
from apps.incidents.services.check_commands import StateForbidsError, resolve_while_paused
from apps.orgs.actors import Actor
from apps.orgs.audit import record_audit_entry
from apps.orgs.models import Project, User


@transaction.atomic
def acknowledge_incident(*, actor: Actor, incident: Incident, user: User | None, now: datetime) -> Incident:
    """Acknowledge an incident; the first acknowledgement is kept. Raises StateForbidsError if it is resolved."""
    locked = Incident.objects.select_for_update(of=("self",)).get(pk=incident.pk)
    if locked.status == Incident.Status.RESOLVED:
        raise StateForbidsError("resolved", "The incident is resolved.")
    if locked.status == Incident.Status.OPEN:
        locked.status = Incident.Status.ACKNOWLEDGED
        locked.acknowledged_at, locked.acknowledged_by = now, user
        locked.save(update_fields=["status", "acknowledged_at", "acknowledged_by"])
        record_audit_entry(actor=actor, action="incident.acknowledged", subject=locked, now=now)
    return locked


@transaction.atomic
def resolve_incident(*, actor: Actor, incident: Incident, now: datetime) -> Incident:
    """Resolve an incident by hand.

    Raises StateForbidsError if it is resolved, or if the machine opened it and its check is not paused.
    """
    if incident.status == Incident.Status.RESOLVED:
        raise StateForbidsError("resolved", "The incident is resolved.")
    if incident.source == Incident.Source.MACHINE and incident.check_row_id is not None:
        resolve_while_paused(check_id=incident.check_row_id, now=now)
    else:
        open_ones = Incident.objects.open().filter(pk=incident.pk)
        open_ones.update(status=Incident.Status.RESOLVED, resolved_at=now, resolution="person")
    incident.refresh_from_db()
    record_audit_entry(actor=actor, action="incident.resolved", subject=incident, now=now)
    return incident


@transaction.atomic
def open_incident(*, actor: Actor, project: Project, title: str, severity: Severity, message: str, now: datetime) -> Incident:
    """Open an incident by hand; only a person can resolve it."""
    incident = Incident.objects.create(
        organization_id=project.organization_id,
        project=project,
        source=Incident.Source.PERSON,
        title=title,
        severity=severity,
        message=message,
        started_at=now,
    )
    record_audit_entry(
        actor=actor, action="incident.opened", subject=incident, now=now, after={"title": title, "severity": severity}
    )
    return incident


@transaction.atomic
def add_update(
    *, actor: Actor, incident: Incident, author: User | None, text: str, is_public: bool, now: datetime
) -> IncidentUpdate:
    """Add a person's note to an incident; a public one appears on the status page as well."""
    update = IncidentUpdate.objects.create(
        organization_id=incident.organization_id, incident=incident, author=author, text=text, is_public=is_public, created_at=now
    )
    record_audit_entry(
        actor=actor, action="incident.updated", subject=incident, now=now, after={"text": text, "is_public": is_public}
    )
    return update
