"""Deliveries: one message to one channel, and what became of it. Read-only."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.caller import caller_of
from apps.api.pagination import CreatedCursor
from apps.api.scope import get_or_404, uuid_parameter
from apps.api.strict import StrictModelSerializer, StrictRequests, operation
from apps.notifications.models import Delivery


class DeliverySerializer(StrictModelSerializer):
    channel = serializers.UUIDField(source="channel_id")
    check = serializers.UUIDField(source="check_row_id", allow_null=True)
    incident = serializers.SerializerMethodField()
    event = serializers.CharField(source="kind")

    class Meta:
        model = Delivery
        fields = [
            "id", "channel", "check", "incident", "event", "status", "attempts", "next_attempt_at", "created_at", "finished_at",
            "error",
        ]  # fmt: skip

    def get_incident(self, delivery: Delivery) -> str | None:
        incident = delivery.payload.get("incident")
        return incident["id"] if incident else None


def deliveries_of(request: Request) -> QuerySet[Delivery]:
    caller = caller_of(request)
    rows = Delivery.objects.filter(organization=caller.organization)
    return rows if caller.project is None else rows.filter(channel__project=caller.project)


class DeliveryList(StrictRequests, ListAPIView[Delivery]):
    serializer_class = DeliverySerializer
    pagination_class = CreatedCursor
    queryset = Delivery.objects.none()

    def get_queryset(self) -> QuerySet[Delivery]:
        rows = deliveries_of(self.request)
        for name, column in (("channel", "channel_id"), ("check", "check_row_id")):
            wanted = uuid_parameter(self.request, name)
            rows = rows.filter(**{column: wanted}) if wanted else rows
        return rows

    @operation(parameters=[OpenApiParameter("channel", OpenApiTypes.UUID), OpenApiParameter("check", OpenApiTypes.UUID)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the messages to channels, the newest first."""
        return super().get(request, *args, **kwargs)


class DeliveryDetail(StrictRequests):
    serializer_class = DeliverySerializer
    queryset = Delivery.objects.none()

    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """Return a message to a channel: whether it was sent, and why not."""
        return Response(DeliverySerializer(get_or_404(deliveries_of(request), pk)).data)
