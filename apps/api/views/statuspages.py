"""A project's public status page."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.caller import actor_of, caller_of
from apps.api.pagination import CreatedCursor
from apps.api.scope import get_or_404, in_callers_tenant, resolve_project
from apps.api.strict import StrictLineField, StrictModelSerializer, StrictRequests, StrictSerializer, operation
from apps.monitors.models import Resource
from apps.statuspages.models import StatusPage
from apps.statuspages.services import ComponentSpec, change_page, ensure_page

_MOST = 300


class ComponentSerializer(StrictSerializer):
    resource = serializers.UUIDField(source="resource_id")
    name = StrictLineField(max_length=200, required=False, allow_blank=True, default="")
    group = StrictLineField(max_length=100, required=False, allow_blank=True, default="")


class NewStatusPageSerializer(StrictSerializer):
    project = serializers.UUIDField(required=False)


class StatusPageSerializer(StrictModelSerializer):
    project = serializers.UUIDField(source="project_id", read_only=True)
    components = ComponentSerializer(many=True, required=False, source="sorted_components")

    class Meta:
        model = StatusPage
        fields = ["id", "project", "slug", "title", "description", "is_published", "components", "created_at"]
        read_only_fields = ["id", "created_at"]
        extra_kwargs: ClassVar[dict[str, Any]] = {"slug": {"validators": []}}  # the service checks that it is unique


class StatusPageList(StrictRequests, ListAPIView[StatusPage]):
    """List the status pages, the newest first."""

    serializer_class = StatusPageSerializer
    pagination_class = CreatedCursor
    queryset = StatusPage.objects.none()

    def get_queryset(self) -> Any:
        return in_callers_tenant(StatusPage.objects.prefetch_related("components"), caller_of(self.request))

    @operation(request=NewStatusPageSerializer, responses={201: StatusPageSerializer})
    def post(self, request: Request) -> Response:
        """Return the project's page; a missing one is created, private and empty."""
        given = NewStatusPageSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        page = ensure_page(
            actor=actor_of(self.request),
            now=timezone.now(),
            project=resolve_project(request, given.validated_data.get("project")),
        )
        return Response(StatusPageSerializer(page).data, status=status.HTTP_201_CREATED)


class StatusPageDetail(StrictRequests):
    serializer_class = StatusPageSerializer
    queryset = StatusPage.objects.none()

    def page(self, pk: uuid.UUID) -> StatusPage:
        return get_or_404(in_callers_tenant(StatusPage.objects.prefetch_related("components"), caller_of(self.request)), pk)

    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        """Return a status page with its components."""
        return Response(StatusPageSerializer(self.page(pk)).data)

    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        """Change a page. `components`, when sent, replaces all of them, in the order sent."""
        page = self.page(pk)
        given = StatusPageSerializer(page, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        sent = given.validated_data
        values = {name: sent.get(name, getattr(page, name)) for name in ("title", "slug", "description", "is_published")}
        components = sent.get("sorted_components")
        change_page(
            actor=actor_of(self.request), now=timezone.now(), page=page, components=_components(page, components), **values
        )
        return Response(StatusPageSerializer(self.page(pk)).data)


def _components(page: StatusPage, sent: Any) -> list[ComponentSpec]:
    """Return the components that were sent, else those that the page has. Raises ValidationError."""
    if sent is None:
        rows = page.components.select_related("resource").order_by("position", "pk")
        return [ComponentSpec(row.resource, row.name, row.group) for row in rows]
    resources = Resource.objects.filter(project=page.project_id).in_bulk([item["resource_id"] for item in sent[:_MOST]])
    if len(resources) != len(sent):
        raise ValidationError({"components": [f"Must name resources of the project, each once, and at most {_MOST}."]})
    return [ComponentSpec(resources[item["resource_id"]], item.get("name", ""), item.get("group", "")) for item in sent]
