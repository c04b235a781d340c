"""The results of a check: its runs, uptime and latency."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.check_serializers import ReasonSerializer
from apps.api.pagination import RunCursor
from apps.api.scope import moment_parameter
from apps.api.strict import operation
from apps.api.views.checks import OneCheck
from apps.core.clock import from_ms, timestamp, to_ms
from apps.incidents.history import uptime
from apps.monitors.models import Region
from apps.probes.reasons import MEANINGS, Reason
from apps.results import latency
from apps.results.models import VERDICTS, Certificate, CheckRun
from apps.results.runs import RunQuery
from apps.results.selectors import timed


class RunSerializer(serializers.Serializer[CheckRun]):
    slot = serializers.SerializerMethodField()
    region = serializers.SerializerMethodField()
    verdict = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    started_at = serializers.SerializerMethodField()
    latency_ms = serializers.SerializerMethodField()
    facts = serializers.SerializerMethodField()

    def get_slot(self, run: CheckRun) -> str:
        return timestamp(from_ms(run.slot))

    def get_region(self, run: CheckRun) -> str:
        slugs: dict[int, str] = self.context["slugs"]
        return slugs.get(run.region_id, "")

    def get_verdict(self, run: CheckRun) -> str:
        return VERDICTS[run.verdict]

    @extend_schema_field(ReasonSerializer(allow_null=True))
    def get_reason(self, run: CheckRun) -> dict[str, str] | None:
        if run.reason is None:
            return None
        return {"code": run.reason, "message": (run.facts or {}).get("message") or MEANINGS[Reason(run.reason)].words}

    def get_latency_ms(self, run: CheckRun) -> int | None:
        return timed(run.duration_ms)

    def get_started_at(self, run: CheckRun) -> str:
        return timestamp(from_ms(run.slot + run.started_after_ms))

    def get_facts(self, run: CheckRun) -> dict[str, Any]:
        """Return the run's columns and, where kept (not up, first after a change, hourly), its full facts."""
        phases = {"dns": run.dns_ms, "connect": run.connect_ms, "tls": run.tls_ms, "first_byte": run.first_byte_ms}
        kept = {name: round(value, 2) for name, value in phases.items() if value is not None}
        facts: dict[str, Any] = {
            "phases_ms": kept,
            "status": run.code,
            "certificate": self.context["certificates"].get(run.certificate_id),
        }
        facts = {name: value for name, value in facts.items() if value} | (run.facts or {})
        facts.pop("message", None)
        return facts


class RunPageSerializer(serializers.Serializer[Any]):
    results = RunSerializer(many=True)
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)


class CheckRuns(OneCheck):
    serializer_class = RunSerializer  # type: ignore[assignment]  # runs of a check, not checks
    pagination_class = RunCursor

    @operation(
        operation_id="checks_runs",
        responses=RunPageSerializer,
        parameters=[
            OpenApiParameter("from", OpenApiTypes.DATETIME),
            OpenApiParameter("to", OpenApiTypes.DATETIME),
            OpenApiParameter("region", OpenApiTypes.STR),
            OpenApiParameter("verdict", OpenApiTypes.STR, enum=list(VERDICTS)),
            OpenApiParameter("cursor", OpenApiTypes.STR),
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 200}),
        ],
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """Return the runs of a check, the newest first."""
        check, now = self.check(pk), timezone.now()
        end, start = moment_parameter(request, "to") or now + timedelta(seconds=10), moment_parameter(request, "from")
        verdict, region = request.query_params.get("verdict") or None, request.query_params.get("region")
        slugs = dict(Region.objects.values_list("id", "slug"))
        if verdict and verdict not in VERDICTS:
            raise ValidationError({"verdict": [f"Must be one of {', '.join(VERDICTS)}."]})
        regions = tuple(key for key, slug in slugs.items() if slug == region) if region else None
        if regions == ():
            raise ValidationError({"region": ["There is no such region."]})
        asked = RunQuery(check.id, to_ms(start) if start else 0, to_ms(end), verdict, regions)
        page: Any = self.paginate_queryset(asked) or []  # type: ignore[arg-type]  # runs are no queryset
        seen = Certificate.objects.in_bulk({run.certificate_id for run in page if run.certificate_id})
        context = {"slugs": slugs, "certificates": {key: certificate.facts for key, certificate in seen.items()}}
        return self.get_paginated_response(RunSerializer(page, many=True, context=context).data)


class UptimeSerializer(serializers.Serializer[Any]):
    uptime = serializers.FloatField(allow_null=True, help_text="(up + degraded) / (up + degraded + down), by seconds.")
    up_s = serializers.FloatField()
    degraded_s = serializers.FloatField()
    down_s = serializers.FloatField()
    unknown_s = serializers.FloatField()
    paused_s = serializers.FloatField()
    maintenance_s = serializers.FloatField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `from` is a Python keyword and cannot be a class attribute.
        ends = {"from": serializers.DateTimeField(), "to": serializers.DateTimeField()}
        return {**ends, **super().get_fields()}


class CheckUptime(OneCheck):
    serializer_class = UptimeSerializer  # type: ignore[assignment]  # sums of a check, not checks

    @operation(
        parameters=[
            OpenApiParameter("period", OpenApiTypes.STR, description="1h to 8760h, or 1d to 365d; 30d by default."),
            OpenApiParameter("from", OpenApiTypes.DATETIME),
            OpenApiParameter("to", OpenApiTypes.DATETIME),
        ]
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """Return the uptime of a check over a span, and the seconds that it was in each state."""
        now = timezone.now()
        end = min(moment_parameter(request, "to") or now, now)
        start = moment_parameter(request, "from") or end - _period(request.query_params.get("period", "30d"))
        if start >= end:
            raise ValidationError({"from": ["Must be before `to`, and in the past."]})
        sums = uptime(check=self.check(pk), start=start, end=end)
        seconds = {
            f"{name}_s": getattr(sums, name) / 1000 for name in ("up", "degraded", "down", "unknown", "paused", "maintenance")
        }
        return Response(
            {"from": timestamp(from_ms(sums.start)), "to": timestamp(from_ms(sums.end)), "uptime": sums.ratio, **seconds}
        )


def _period(text: str) -> timedelta:
    """Parse a period like `24h` or `30d`, from 1 h to 365 d. Raises ValidationError."""
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdigit() and unit in ("h", "d") and len(number) < 5:
        seconds = int(number) * (3_600 if unit == "h" else 86_400)
        if 3_600 <= seconds <= 365 * 86_400:
            return timedelta(seconds=seconds)
    raise ValidationError({"period": ["Must be hours or days, like 24h or 30d, up to 365d."]})


class LatencyPointSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    runs = serializers.IntegerField()
    p50_ms = serializers.FloatField(allow_null=True, help_text="Of runs that were up or degraded.")
    p95_ms = serializers.FloatField(allow_null=True)
    p99_ms = serializers.FloatField(allow_null=True)


_STEP_WORDS = "Seconds of a point; 60 to 604800. Whole hours from 3600 on; below, a week at the most is answered."


class LatencySerializer(serializers.Serializer[Any]):
    step_s = serializers.IntegerField()
    results = LatencyPointSerializer(many=True)


class CheckLatency(OneCheck):
    serializer_class = LatencyPointSerializer  # type: ignore[assignment]  # points of a check, not checks

    @operation(
        operation_id="checks_latency",
        responses=LatencySerializer,
        parameters=[
            OpenApiParameter("from", OpenApiTypes.DATETIME, description="A day ago by default."),
            OpenApiParameter("to", OpenApiTypes.DATETIME),
            OpenApiParameter("step", OpenApiTypes.INT, description=_STEP_WORDS),
            OpenApiParameter("region", OpenApiTypes.STR),
        ],
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """Return latency percentiles over time, at most a thousand points.

        Steps of an hour or more come from rollups, whose percentiles are within 5 %.
        """
        now = timezone.now()
        end = min(moment_parameter(request, "to") or now, now)
        start = moment_parameter(request, "from") or end - timedelta(days=1)
        step = _step_ms(request.query_params.get("step", "3600"))
        first = to_ms(start) // step * step
        if not 0 < to_ms(end) - first <= latency.MAX_POINTS * step:
            raise ValidationError({"from": [f"Must be before `to`, and no more than {latency.MAX_POINTS} steps."]})
        found = self.check(pk)
        slug = request.query_params.get("region")
        region = Region.objects.filter(slug=slug).first() if slug else None
        if slug and region is None:
            raise ValidationError({"region": ["There is no such region."]})
        regions = 1 if region else len(found.region_ids)
        if not latency.is_step_allowed(width_ms=to_ms(end) - first, step=step, interval_ms=found.interval_ms, regions=regions):
            raise ValidationError({"step": ["Must be an hour or more for more than a week, or that many runs."]})
        points = latency.series(
            check_id=found.id, start=first, end=to_ms(end), step=step, region_id=region.pk if region else None
        )
        shown = [
            {"start": timestamp(from_ms(p.start)), "runs": p.runs, "p50_ms": p.p50, "p95_ms": p.p95, "p99_ms": p.p99}
            for p in points
        ]
        return Response({"step_s": step // 1000, "results": shown})


def _step_ms(text: str) -> int:
    """Parse a step in seconds and return it in milliseconds. Raises ValidationError."""
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0
    if not 60 <= seconds <= 604_800 or (seconds >= 3_600 and seconds % 3_600):
        raise ValidationError({"step": ["Must be 60 to 604800 seconds, and whole hours from 3600 on."]})
    return seconds * 1000
