"""The regions of the deployment. Read-only."""

from __future__ import annotations

from django.utils import timezone
from rest_framework import serializers
from rest_framework.generics import ListAPIView

from apps.api.pagination import CreatedCursor
from apps.api.strict import StrictModelSerializer, StrictRequests
from apps.core.clock import from_ms, timestamp, to_ms
from apps.monitors.models import CORE, Region
from apps.monitors.selectors import clock_warning, is_impaired, liveness_of


class RegionSerializer(StrictModelSerializer):
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
        return clock_warning(region)


class RegionList(StrictRequests, ListAPIView[Region]):
    """List the regions of the deployment. Operators create them, tenants choose among them."""

    serializer_class = RegionSerializer
    pagination_class = CreatedCursor
    queryset = Region.objects.exclude(slug=CORE)
