"""Channels: where notifications go, and the test of one."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.caller import actor_of, caller_of
from apps.api.pagination import CreatedCursor
from apps.api.scope import get_or_404, in_callers_tenant, resolve_project
from apps.api.strict import StrictModelSerializer, StrictRequests, operation
from apps.api.throttling import ensure_within
from apps.api.views.deliveries import DeliverySerializer
from apps.notifications.masking import masked_config, unmasked_config
from apps.notifications.models import Channel
from apps.notifications.registry import CHANNEL_KINDS
from apps.notifications.selectors import unconfirmed_addresses, unconfirmed_by_channel
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
        known = self.context.get("unconfirmed")
        return known[channel.pk] if known else unconfirmed_addresses(channel=channel)

    def to_representation(self, channel: Channel) -> dict[str, Any]:
        shown = super().to_representation(channel)
        is_admin = caller_of(self.context["request"]).role.covers(Role.ADMIN)
        return {**shown, "config": masked_config(CHANNEL_KINDS[channel.kind], channel.config, is_admin=is_admin)}


def channels_of(request: Request) -> QuerySet[Channel]:
    return in_callers_tenant(Channel.objects.live(), caller_of(request))


class ChannelList(StrictRequests, ListAPIView[Channel]):
    """List the channels, the newest first."""

    serializer_class = ChannelSerializer
    pagination_class = CreatedCursor
    queryset = Channel.objects.none()

    def get_queryset(self) -> QuerySet[Channel]:
        return channels_of(self.request)

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        page: Any = self.paginate_queryset(self.get_queryset()) or []
        context = {**self.get_serializer_context(), "unconfirmed": unconfirmed_by_channel(channels=page)}
        return self.get_paginated_response(ChannelSerializer(page, many=True, context=context).data)

    @operation(responses={201: ChannelSerializer})
    @operation(responses={201: ChannelSerializer})
    @operation(responses={201: ChannelSerializer})
    def post(self, request: Request) -> Response:
        """Create a channel. A webhook's secret is generated when none is sent, and shown in this response only."""
        given = ChannelSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        channel = create_channel(
            actor=actor_of(self.request),
            now=timezone.now(),
            project=resolve_project(request, values.get("project_id")),
            name=values["name"],
            kind=values["kind"],
            config=values["config"],
            is_enabled=values.get("is_enabled", True),
        )
        return Response({**self.get_serializer(channel).data, "config": channel.config}, status=status.HTTP_201_CREATED)


class ChannelDetail(StrictRequests):
    serializer_class = ChannelSerializer
    queryset = Channel.objects.none()

    def channel(self, pk: uuid.UUID) -> Channel:
        return get_or_404(channels_of(self.request).select_related("organization", "project"), pk)

    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        """Return a channel. Secrets are masked."""
        return Response(self.get_serializer(self.channel(pk)).data)

    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        """Change a channel. Fields that are not sent stay as they are."""
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

    @operation(responses={204: None})
    def delete(self, _request: Request, pk: uuid.UUID) -> Response:
        """Delete a channel. Messages that wait for it are not sent."""
        delete_channel(actor=actor_of(self.request), channel=self.channel(pk), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class ChannelTest(ChannelDetail):
    http_method_names = ["post", "options"]

    @operation(request=None, responses={202: DeliverySerializer})
    def post(self, _request: Request, pk: uuid.UUID) -> Response:
        """Send a message `channel.test`, like any other. The status of its delivery shows whether it arrived."""
        channel = self.channel(pk)
        ensure_within(CHANNEL_TESTS, channel.project)
        delivery = send_test(actor=actor_of(self.request), channel=channel, now=timezone.now())
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)
