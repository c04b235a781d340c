"""Heartbeats: the pings that they received, and when the next ones are due."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.check_serializers import NewCheckSerializer, chosen
from apps.api.scope import resolve_project
from apps.api.strict import StrictModelSerializer, StrictRequests, operation
from apps.api.views.checks import OneCheck
from apps.core.clock import from_ms, timestamp
from apps.incidents.heartbeat_machine import Preview
from apps.incidents.selectors import due_times, due_times_of
from apps.monitors.check_spec import CheckSpec, validate_spec
from apps.monitors.models import Check
from apps.probes.registry import PASSIVE
from apps.results.models import Ping
from apps.results.stored_pings import KEPT, newest_pings

_TIMES = 5


class DueTimeSerializer(serializers.Serializer[Any]):
    expected_at = serializers.DateTimeField()
    missing_from = serializers.DateTimeField(help_text="With the grace: beyond it the check fails.")


class DueTimesSerializer(serializers.Serializer[Any]):
    next = DueTimeSerializer(many=True)


class CheckDueSerializer(DueTimesSerializer):
    deadline_at = serializers.DateTimeField(
        allow_null=True, help_text="When it fails unless it is heard: null before its first signal and while paused."
    )


class PingSerializer(StrictModelSerializer):
    at = serializers.SerializerMethodField()

    class Meta:
        model = Ping
        fields = ["number", "at", "signal", "rid", "exit_code", "runtime_ms", "others", "method", "agent", "address", "body"]

    def get_at(self, ping: Ping) -> str:
        return timestamp(from_ms(ping.at_ms))


class PingListSerializer(serializers.Serializer[Any]):
    results = PingSerializer(many=True)
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)


def _times(times: Sequence[Preview]) -> list[dict[str, str]]:
    return [
        {"expected_at": timestamp(from_ms(time.expected)), "missing_from": timestamp(from_ms(time.missing_from))}
        for time in times
    ]


class CheckPings(OneCheck):
    @operation(operation_id="check_pings", responses=PingListSerializer)
    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        """List the newest two hundred pings; older ones are not kept."""
        pings = newest_pings(check_id=self.check(pk).pk, count=KEPT)
        return Response({"results": PingSerializer(pings, many=True).data, "next": None, "previous": None})


class CheckDue(OneCheck):
    @operation(operation_id="check_due", responses=CheckDueSerializer)
    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        """Return a heartbeat's next due times, assuming that every ping comes on time."""
        check = self.check(pk)
        if check.kind not in PASSIVE:
            raise ValidationError({"kind": ["Only a check that waits to be pinged has due times."]})
        deadline = check.state.deadline
        return Response(
            {
                "deadline_at": None if deadline is None else timestamp(from_ms(deadline)),
                "next": _times(due_times_of(check=check, row=check.state, now=timezone.now(), count=_TIMES)),
            }
        )


class DuePreview(StrictRequests):
    """Preview the due times of a heartbeat before it is saved."""

    serializer_class = NewCheckSerializer
    queryset = Check.objects.none()

    @operation(operation_id="due_preview", request=NewCheckSerializer, responses={200: DueTimesSerializer})
    def post(self, request: Request) -> Response:
        """Return the due times that a heartbeat would have."""
        given = NewCheckSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        resolve_project(request, given.validated_data.get("project"))
        fields = validate_spec(CheckSpec(**{"options": {}, "target": "", **chosen(given.validated_data)}))
        if fields.kind not in PASSIVE:
            raise ValidationError({"kind": ["Only a check that waits to be pinged has due times."]})
        return Response({"next": _times(due_times(fields=fields, now=timezone.now(), count=_TIMES))})
