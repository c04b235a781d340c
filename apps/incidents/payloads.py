"""The payload of an incident event, a snapshot of its moment: the body of webhooks and the data for mails."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from apps.core.clock import timestamp, to_ms
from apps.incidents.models import Incident
from apps.monitors.models import Check


def event_payload(*, check: Check, incident: Incident) -> dict[str, Any]:
    organization, project, resource = check.organization, check.project, check.resource
    return {
        "organization": {"id": str(organization.id), "name": organization.name},
        "project": {"id": str(project.id), "name": project.name},
        "resource": {"id": str(resource.id), "name": resource.name},
        "check": {"id": str(check.id), "name": check.name, "kind": check.kind, "target": check.target},
        "incident": incident_body(incident),
        "reason": {"code": incident.reason, "message": incident.message} if incident.reason else None,
        "url": f"{settings.PUBLIC_URL}/incidents/{incident.id}/",
    }


def incident_body(incident: Incident) -> dict[str, Any]:
    ended = incident.resolved_at
    return {
        "id": str(incident.id),
        "title": incident.title,
        "severity": incident.severity,
        "status": incident.status,
        "started_at": timestamp(incident.started_at),
        "resolved_at": timestamp(ended) if ended else None,
        "duration_s": (to_ms(ended) - to_ms(incident.started_at)) / 1000 if ended else None,
        "downtime_s": incident.downtime_ms / 1000,
        "resolution": incident.resolution or None,
    }
