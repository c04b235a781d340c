"""Channels, deliveries, and the regions of the deployment."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.caller import actor_of, caller_of
from apps.api.scope import get_or_404, mine, project_named, uuid_parameter
from apps.api.strict import StrictModelSerializer
from apps.api.throttling import ensure_within
from apps.core.clock import from_ms, to_ms
from apps.incidents.payloads import timestamp
from apps.monitors.models import CORE, Region
from apps.monitors.selectors import clock_words, is_impaired, liveness_of
from apps.notifications.masking import masked_config, unmasked_config
from apps.notifications.models import Channel, Delivery
from apps.notifications.registry import CHANNEL_KINDS
from apps.notifications.selectors import unconfirmed_addresses
from apps.notifications.services.channels import CHANNEL_TESTS, change_channel, create_channel, delete_channel, send_test
from apps.orgs.models import Role


class ChannelSerializer(StrictModelSerializer):
    project = serializers.UUIDField(source="project_id", required=False)
    unconfirmed = serializers.SerializerMethodField(help_text="Addresses that get nothing before their owners confirm them.")
    config = serializers.DictField(help_text="webhook: {url, secret}; email: {to: [addresses]}. Secrets are masked.")

    class Meta:
        model = Channel
        fields = ["id", "project", "name", "kind", "config", "is_enabled", "unconfirmed", "created_at"]
        read_only_fields = ["id", "created_at"]

    def get_unconfirmed(self, channel: Channel) -> list[str]:
        return unconfirmed_addresses(channel=channel)

    def to_representation(self, channel: Channel) -> dict[str, Any]:
        shown = super().to_representation(channel)
        is_admin = caller_of(self.context["request"]).role.covers(Role.ADMIN)
        return {**shown, "config": masked_config(CHANNEL_KINDS[channel.kind], channel.config, is_admin=is_admin)}


def channels_of(request: Request) -> QuerySet[Channel]:
    return mine(Channel.objects.filter(deleted_at=None), caller_of(request))


class ChannelList(ListAPIView[Channel]):
    serializer_class = ChannelSerializer
    queryset = Channel.objects.none()

    def get_queryset(self) -> QuerySet[Channel]:
        return channels_of(self.request)

    def post(self, request: Request) -> Response:
        """Create a channel. A webhook's secret is generated when none is sent, and shown in this response only."""
        given = ChannelSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        channel = create_channel(
            actor=actor_of(self.request),
            now=timezone.now(),
            project=project_named(request, values.get("project_id")),
            name=values["name"],
            kind=values["kind"],
            config=values["config"],
            is_enabled=values.get("is_enabled", True),
        )
        return Response({**self.get_serializer(channel).data, "config": channel.config}, status=status.HTTP_201_CREATED)


class ChannelDetail(GenericAPIView[Channel]):
    serializer_class = ChannelSerializer
    queryset = Channel.objects.none()

    def channel(self, pk: uuid.UUID) -> Channel:
        return get_or_404(channels_of(self.request).select_related("organization", "project"), pk)

    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        return Response(self.get_serializer(self.channel(pk)).data)

    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        channel = self.channel(pk)
        given = ChannelSerializer(channel, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        if values.get("kind", channel.kind) != channel.kind:
            raise ValidationError({"kind": ["A channel keeps its kind: make another one."]})
        config = unmasked_config(CHANNEL_KINDS[channel.kind], values.get("config", {}), channel.config)
        changed = change_channel(
            actor=actor_of(self.request),
            now=timezone.now(),
            channel=channel,
            name=values.get("name", channel.name),
            config=config,
            is_enabled=values.get("is_enabled", channel.is_enabled),
        )
        return Response(self.get_serializer(changed).data)

    @extend_schema(responses={204: None})
    def delete(self, _request: Request, pk: uuid.UUID) -> Response:
        delete_channel(actor=actor_of(self.request), channel=self.channel(pk), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
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


class ChannelTest(ChannelDetail):
    http_method_names = ["post", "options"]

    @extend_schema(request=None, responses={202: DeliverySerializer})
    def post(self, _request: Request, pk: uuid.UUID) -> Response:
        """Send a message `channel.test`, like any other. The status of its delivery shows whether it arrived."""
        channel = self.channel(pk)
        ensure_within(CHANNEL_TESTS, channel.project)
        delivery = send_test(actor=actor_of(self.request), channel=channel, now=timezone.now())
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


def deliveries_of(request: Request) -> QuerySet[Delivery]:
    caller = caller_of(request)
    rows = Delivery.objects.filter(organization=caller.organization)
    return rows if caller.project is None else rows.filter(channel__project=caller.project)


class DeliveryList(ListAPIView[Delivery]):
    serializer_class = DeliverySerializer
    queryset = Delivery.objects.none()

    def get_queryset(self) -> QuerySet[Delivery]:
        rows = deliveries_of(self.request)
        for name, column in (("channel", "channel_id"), ("check", "check_row_id")):
            wanted = uuid_parameter(self.request, name)
            rows = rows.filter(**{column: wanted}) if wanted else rows
        return rows

    @extend_schema(parameters=[OpenApiParameter("channel", OpenApiTypes.UUID), OpenApiParameter("check", OpenApiTypes.UUID)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class DeliveryDetail(GenericAPIView[Delivery]):
    serializer_class = DeliverySerializer
    queryset = Delivery.objects.none()

    def get(self, request: Request, pk: uuid.UUID) -> Response:
        return Response(DeliverySerializer(get_or_404(deliveries_of(request), pk)).data)


class RegionSerializer(serializers.ModelSerializer[Region]):
    is_live = serializers.SerializerMethodField()
    is_impaired = serializers.SerializerMethodField(help_text="It reaches none of its canaries: its failures are unknown.")
    last_heard_at = serializers.SerializerMethodField()
    clock = serializers.SerializerMethodField(help_text="In words when its clock is off by more than a second.")

    class Meta:
        model = Region
        fields = [
            "slug", "name", "is_enabled", "is_live", "is_impaired", "last_heard_at", "clock", "clock_offset_ms", "in_flight",
            "dropped",
        ]  # fmt: skip

    def get_is_live(self, region: Region) -> bool:
        return liveness_of(region).is_live(to_ms(timezone.now()))

    def get_is_impaired(self, region: Region) -> bool:
        return is_impaired(region)

    def get_last_heard_at(self, region: Region) -> str | None:
        return timestamp(from_ms(region.heard_at_ms)) if region.heard_at_ms else None

    def get_clock(self, region: Region) -> str | None:
        return clock_words(region)


class RegionList(ListAPIView[Region]):
    """List the regions of the deployment. Operators create them, tenants choose among them."""

    serializer_class = RegionSerializer
    queryset = Region.objects.exclude(slug=CORE)
