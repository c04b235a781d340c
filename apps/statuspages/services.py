"""Writes to status pages, and the invalidation of their cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.utils.text import slugify
from redis.exceptions import RedisError

from apps.core.errors import FieldError
from apps.monitors.models import Resource
from apps.orgs.actors import Actor
from apps.orgs.audit import changes_of, record_audit_entry
from apps.orgs.models import Project
from apps.statuspages.models import Component, StatusPage


@dataclass(frozen=True)
class ComponentSpec:
    resource: Resource
    name: str = ""
    group: str = ""


def draft_page(*, project: Project) -> StatusPage:
    """Return an unsaved page with the title and a free slug that a new page of the project gets."""
    wanted = slugify(f"{project.organization.name} {project.name}")[:50] or "status"
    slug, number = wanted, 1
    while StatusPage.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{wanted}-{number}"
    return StatusPage(project=project, organization_id=project.organization_id, slug=slug, title=project.name)


@transaction.atomic
def ensure_page(*, actor: Actor, project: Project, now: datetime) -> StatusPage:
    """Return the project's page; a missing one is created, private and empty."""
    known = StatusPage.objects.filter(project=project).first()
    if known is not None:
        return known
    draft = draft_page(project=project)
    defaults = {"organization_id": draft.organization_id, "slug": draft.slug, "title": draft.title}
    page, is_new = StatusPage.objects.get_or_create(project=project, defaults=defaults)
    if is_new:
        record_audit_entry(actor=actor, action="status_page.created", subject=page, now=now)
    return page


@transaction.atomic
def change_page(
    *,
    actor: Actor,
    page: StatusPage,
    title: str,
    slug: str,
    description: str,
    is_published: bool,
    components: Sequence[ComponentSpec],
    now: datetime,
) -> StatusPage:
    """Replace all fields and components of a page; the components keep the given order. Raises FieldError."""
    was = _audited(page)
    if StatusPage.objects.filter(slug=slug).exclude(pk=page.pk).exists():
        raise FieldError("slug", "another page has this address")
    before = page.slug
    page.title, page.slug, page.description, page.is_published = title, slug, description, is_published
    page.save(update_fields=["title", "slug", "description", "is_published"])
    Component.objects.filter(page=page).delete()
    Component.objects.bulk_create(
        [
            Component(
                page=page, resource=spec.resource, name=spec.name or spec.resource.name, group=spec.group, position=position
            )
            for position, spec in enumerate(components)
        ]
    )
    transaction.on_commit(lambda: drop_cached_pages(before, slug))
    page = StatusPage.objects.get(pk=page.pk)
    differs = changes_of(was, _audited(page))
    if differs[1]:
        record_audit_entry(actor=actor, action="status_page.changed", subject=page, now=now, before=differs[0], after=differs[1])
    return page


def _audited(page: StatusPage) -> dict[str, Any]:
    components = [[str(row.resource_id), row.name, row.group] for row in page.components.order_by("position", "pk")]
    fields = {name: getattr(page, name) for name in ("title", "slug", "description", "is_published")}
    return {**fields, "components": components}


def cache_key(slug: str, form: str) -> str:
    return f"status:{form}:{slug}"


def drop_cached_pages(*slugs: str) -> None:
    """Delete the cached copies of pages, so that a change which hides something takes effect at once."""
    try:
        cache.delete_many([cache_key(slug, form) for slug in slugs for form in ("html", "json")])
    except (RedisError, OSError):
        return  # the cache is unavailable: its entries expire by themselves
