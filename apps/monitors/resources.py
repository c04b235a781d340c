"""Commands on resources."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from apps.core.errors import FieldError
from apps.monitors.models import Resource
from apps.orgs.actors import Actor
from apps.orgs.audit import record_audit_entry
from apps.orgs.models import Project


def ensure_resource(*, project: Project, name: str) -> Resource:
    defaults = {"organization_id": project.organization_id}
    return Resource.objects.get_or_create(project=project, name=name, defaults=defaults)[0]


@transaction.atomic
def create_resource(*, actor: Actor, project: Project, name: str, now: datetime) -> Resource:
    """Create a resource. Raises FieldError if the project has one of that name."""
    defaults = {"organization_id": project.organization_id}
    resource, is_new = Resource.objects.get_or_create(project=project, name=name, defaults=defaults)
    if not is_new:
        raise FieldError("name", "a resource of this name exists already")
    record_audit_entry(actor=actor, action="resource.created", subject=resource, now=now)
    return resource


@transaction.atomic
def rename_resource(*, actor: Actor, resource: Resource, name: str, now: datetime) -> Resource:
    """Rename a resource. Raises FieldError if the project has another one of that name."""
    if Resource.objects.filter(project_id=resource.project_id, name=name).exclude(pk=resource.pk).exists():
        raise FieldError("name", "a resource of this name exists already")
    before, resource.name = resource.name, name
    resource.save(update_fields=["name"])
    record_audit_entry(
        actor=actor, action="resource.renamed", subject=resource, now=now, before={"name": before}, after={"name": name}
    )
    return resource
