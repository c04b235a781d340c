"""A project's public status page and its components."""

from __future__ import annotations

import uuid

from django.db import models

from apps.monitors.models import Resource
from apps.orgs.models import Organization, Project


class StatusPage(models.Model):
    """A project's status page. It is private until `is_published` is set."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="status_pages")
    project = models.OneToOneField(Project, models.CASCADE, related_name="status_page")
    slug = models.SlugField(max_length=60, unique=True)
    title = models.CharField(max_length=100)
    description = models.CharField(max_length=300, blank=True)
    is_published = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.title

    @property
    def sorted_components(self) -> list[Component]:
        """Return the components in the order of the page; prefetched ones are sorted without a query."""
        return sorted(self.components.all(), key=lambda row: (row.position, row.pk))


class Component(models.Model):
    """A resource on a status page, with a display name of its own."""

    page = models.ForeignKey(StatusPage, models.CASCADE, related_name="components")
    resource = models.ForeignKey(Resource, models.CASCADE, related_name="components")
    name = models.CharField(max_length=200)
    group = models.CharField(max_length=100, blank=True)
    position = models.IntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["page", "resource"], name="component_resource_once")]

    def __str__(self) -> str:
        return self.name
