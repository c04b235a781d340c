"""Incidents: list, open by hand, acknowledge, resolve, and updates."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.caller import actor_of, caller_of
from apps.api.check_serializers import ReasonSerializer
from apps.api.pagination import CreatedCursor, StartedCursor
from apps.api.scope import get_or_404, resolve_project, uuid_parameter
from apps.api.strict import StrictCharField, StrictLineField, StrictModelSerializer, StrictRequests, StrictSerializer, operation
from apps.core.clock import to_ms
from apps.incidents.models import Incident, IncidentUpdate, Severity
from apps.incidents.selectors import downtimes_ms, incidents_of
from apps.incidents.services.incident_commands import acknowledge_incident, add_update, open_incident, resolve_incident


class IncidentSerializer(StrictModelSerializer):
    project = serializers.UUIDField(source="project_id")
    check = serializers.UUIDField(source="check_row_id", allow_null=True)
    duration_s = serializers.SerializerMethodField()
    downtime_s = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    acknowledged_by = serializers.SerializerMethodField()

    class Meta:
        model = Incident
        fields = [
            "id", "project", "check", "source", "title", "severity", "status", "started_at", "resolved_at", "duration_s",
            "downtime_s", "reason", "resolution", "acknowledged_at", "acknowledged_by",
        ]  # fmt: skip

    def get_duration_s(self, incident: Incident) -> float | None:
        if incident.resolved_at is None:
            return None
        return (to_ms(incident.resolved_at) - to_ms(incident.started_at)) / 1000

    def get_downtime_s(self, incident: Incident) -> float:
        known: dict[uuid.UUID, int] = self.context.get("downtimes_ms") or downtimes_ms(incidents=[incident], now=timezone.now())
        return known[incident.pk] / 1000

    @extend_schema_field(ReasonSerializer(allow_null=True))
    def get_reason(self, incident: Incident) -> dict[str, str] | None:
        return {"code": incident.reason, "message": incident.message} if incident.reason else None

    def get_acknowledged_by(self, incident: Incident) -> str | None:
        return incident.acknowledged_by.email if incident.acknowledged_by else None


class NewIncidentSerializer(StrictSerializer):
    project = serializers.UUIDField(required=False)
    title = StrictLineField(max_length=300)
    severity = serializers.ChoiceField(choices=Severity.choices, default=Severity.DOWN)
    message = StrictCharField(max_length=5000, required=False, default="", allow_blank=True)


class IncidentList(StrictRequests):
    serializer_class = IncidentSerializer
    queryset = Incident.objects.none()
    pagination_class = StartedCursor

    @operation(
        operation_id="incidents_list",
        responses=IncidentSerializer(many=True),
        parameters=[
            OpenApiParameter("check", OpenApiTypes.UUID),
            OpenApiParameter("status", OpenApiTypes.STR, enum=Incident.Status.values),
        ],
    )
    def get(self, request: Request) -> Response:
        """List the incidents, the newest first."""
        caller = caller_of(request)
        rows = incidents_of(organization=caller.organization, project=caller.project)
        check, wanted = uuid_parameter(request, "check"), request.query_params.get("status")
        rows = rows.filter(check_row_id=check) if check else rows
        if wanted:
            if wanted not in Incident.Status.values:
                raise ValidationError({"status": [f"Must be one of {', '.join(Incident.Status.values)}."]})
            rows = rows.filter(status=wanted)
        page = self.paginate_queryset(rows) or []
        context = {"downtimes_ms": downtimes_ms(incidents=page, now=timezone.now())}
        return self.get_paginated_response(IncidentSerializer(page, many=True, context=context).data)

    @operation(request=NewIncidentSerializer, responses={201: IncidentSerializer})
    def post(self, request: Request) -> Response:
        """Open an incident by hand. Only `resolve/` ends it."""
        given = NewIncidentSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        incident = open_incident(
            actor=actor_of(self.request),
            project=resolve_project(request, values.get("project")),
            title=values["title"],
            severity=Severity(values["severity"]),
            message=values["message"],
            now=timezone.now(),
        )
        return Response(IncidentSerializer(incident).data, status=status.HTTP_201_CREATED)


class IncidentDetail(StrictRequests):
    serializer_class = IncidentSerializer
    queryset = Incident.objects.none()

    def incident(self, pk: uuid.UUID) -> Incident:
        caller = caller_of(self.request)
        return get_or_404(incidents_of(organization=caller.organization, project=caller.project), pk)

    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        """Return an incident."""
        return Response(IncidentSerializer(self.incident(pk)).data)


class IncidentAck(IncidentDetail):
    http_method_names = ["post", "options"]

    @operation(request=None)
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Acknowledge an incident."""
        user = caller_of(request).user
        incident = acknowledge_incident(actor=actor_of(self.request), incident=self.incident(pk), user=user, now=timezone.now())
        return Response(IncidentSerializer(incident).data)


class IncidentResolve(IncidentDetail):
    http_method_names = ["post", "options"]

    @operation(request=None)
    def post(self, _request: Request, pk: uuid.UUID) -> Response:
        """Resolve an incident that was opened by hand, or one of a paused check."""
        return Response(
            IncidentSerializer(
                resolve_incident(actor=actor_of(self.request), incident=self.incident(pk), now=timezone.now())
            ).data
        )


class IncidentUpdateSerializer(StrictModelSerializer):
    author = serializers.SerializerMethodField()

    class Meta:
        model = IncidentUpdate
        fields = ["id", "text", "is_public", "author", "created_at"]
        read_only_fields = ["id", "created_at"]

    def get_author(self, update: IncidentUpdate) -> str | None:
        return update.author.email if update.author else None


class IncidentUpdates(IncidentDetail):
    serializer_class = IncidentUpdateSerializer  # type: ignore[assignment]  # updates of an incident, not incidents
    pagination_class = CreatedCursor

    @operation(operation_id="incidents_updates_list", responses=IncidentUpdateSerializer(many=True))
    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        """Return the updates of an incident, the newest first."""
        rows: Any = IncidentUpdate.objects.filter(incident=self.incident(pk)).select_related("author")
        page: Any = self.paginate_queryset(rows) or []
        return self.get_paginated_response(IncidentUpdateSerializer(page, many=True).data)

    @operation(request=IncidentUpdateSerializer, responses={201: IncidentUpdateSerializer})
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Add an update. A public one is also shown on the status page."""
        incident = self.incident(pk)
        given = IncidentUpdateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        update = add_update(
            actor=actor_of(self.request),
            incident=incident,
            author=caller_of(request).user,
            text=values["text"],
            is_public=values.get("is_public", False),
            now=timezone.now(),
        )
        return Response(IncidentUpdateSerializer(update).data, status=status.HTTP_201_CREATED)
