"""Checks, their runs, their uptime, and what people do to them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.caller import caller_of
from apps.api.pagination import SlotCursor
from apps.api.scope import get_or_404, project_named, uuid_parameter
from apps.core.clock import from_ms, to_ms
from apps.incidents.history import uptime
from apps.incidents.models import CheckState
from apps.incidents.payloads import timestamp
from apps.incidents.selectors import open_pauses, shown_state
from apps.incidents.services import acts
from apps.monitors.models import Check, Region, Resource
from apps.monitors.selectors import checks_of
from apps.monitors.services import CheckSpec, masked_options
from apps.orgs.models import Project
from apps.probes.reasons import MEANINGS, Reason
from apps.results.models import VERDICTS, Certificate, CheckRun
from apps.results.selectors import last_runs, runs_of

_DAY_S = 86_400


class ReasonSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class LastRunSerializer(serializers.Serializer[Any]):
    slot = serializers.DateTimeField()
    region = serializers.CharField()
    verdict = serializers.CharField()
    latency_ms = serializers.IntegerField()


class CheckSerializer(serializers.Serializer[Any]):
    """A check as it is shown. `status` is that of now, pauses and silence included."""

    id = serializers.UUIDField()
    project = serializers.UUIDField()
    resource = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.CharField()
    target = serializers.CharField()
    options = serializers.JSONField(help_text="Secrets are masked; a mask sent back keeps what it stands for.")
    interval_s = serializers.IntegerField()
    timeout_s = serializers.IntegerField()
    degraded_ms = serializers.IntegerField(allow_null=True)
    fail_after = serializers.IntegerField()
    recover_after = serializers.IntegerField()
    quorum = serializers.IntegerField(allow_null=True)
    regions = serializers.ListField(child=serializers.CharField())
    is_paused = serializers.BooleanField()
    revision = serializers.IntegerField()
    status = serializers.ChoiceField(choices=["pending", "up", "warn", "down", "unknown", "paused", "maintenance"])
    since = serializers.DateTimeField()
    reason = ReasonSerializer(allow_null=True)
    last_run = LastRunSerializer(allow_null=True)
    created_at = serializers.DateTimeField()


class NewCheckSerializer(serializers.Serializer[Any]):
    """What a person chooses of a check."""

    project = serializers.UUIDField(required=False, help_text="The API key's project by default.")
    resource = serializers.UUIDField(required=False, help_text="By default a resource of the check's name is made.")
    name = serializers.CharField(max_length=200)
    kind = serializers.CharField(max_length=20)
    target = serializers.CharField(max_length=2000)
    options = serializers.DictField(required=False)
    interval_s = serializers.IntegerField(required=False)
    timeout_s = serializers.IntegerField(required=False, allow_null=True)
    degraded_ms = serializers.IntegerField(required=False, allow_null=True)
    fail_after = serializers.IntegerField(required=False)
    recover_after = serializers.IntegerField(required=False)
    quorum = serializers.IntegerField(required=False, allow_null=True)
    regions = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=100)


def _shown(checks: Sequence[Check], now: datetime) -> list[dict[str, Any]]:
    """A page of checks with their states and last runs, in a fixed number of queries."""
    ids = [check.id for check in checks]
    states = CheckState.objects.in_bulk(ids)
    pauses = open_pauses(ids)
    runs = last_runs(check_ids=ids, now_ms=to_ms(now))
    slugs = dict(Region.objects.values_list("id", "slug"))
    shown = []
    for check in checks:
        state = shown_state(check=check, row=states[check.id], pause=pauses.get(check.id), now=now)
        last = runs.get(check.id)
        shown.append(
            {
                "id": str(check.id),
                "project": str(check.project_id),
                "resource": str(check.resource_id),
                "name": check.name,
                "kind": check.kind,
                "target": check.target,
                "options": masked_options(check),
                "interval_s": check.interval_s,
                "timeout_s": check.timeout_s,
                "degraded_ms": check.degraded_ms,
                "fail_after": check.fail_after,
                "recover_after": check.recover_after,
                "quorum": check.quorum,
                "regions": [slugs[region] for region in check.region_ids if region in slugs],
                "is_paused": check.is_paused,
                "revision": check.revision,
                "status": state.status,
                "since": timestamp(state.since),
                "reason": {"code": state.reason[0], "message": state.reason[1]} if state.reason else None,
                "last_run": last
                and {
                    "slot": timestamp(from_ms(last.slot)),
                    "region": slugs.get(last.region_id, ""),
                    "verdict": last.verdict,
                    "latency_ms": last.duration_ms,
                },
                "created_at": timestamp(check.created_at),
            }
        )
    return shown


_NOT_OF_THE_SPEC = ("project", "resource")


def _chosen(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a spec among what was sent."""
    chosen = {name: value for name, value in values.items() if name not in _NOT_OF_THE_SPEC}
    return {**chosen, "regions": tuple(chosen["regions"])} if "regions" in chosen else chosen


def _resource(project: Project, resource_id: uuid.UUID | None) -> Resource | None:
    if resource_id is None:
        return None
    found = Resource.objects.filter(project=project, pk=resource_id).first()
    if found is None:
        raise ValidationError({"resource": ["There is no such resource in the project."]})
    return found


class CheckList(GenericAPIView[Check]):
    serializer_class = CheckSerializer
    queryset = Check.objects.none()

    @extend_schema(
        operation_id="checks_list",
        responses=CheckSerializer(many=True),
        parameters=[OpenApiParameter("project", OpenApiTypes.UUID), OpenApiParameter("resource", OpenApiTypes.UUID)],
    )
    def get(self, request: Request) -> Response:
        caller = caller_of(request)
        rows = checks_of(organization=caller.organization, project=caller.project)
        for name in ("project", "resource"):
            wanted = uuid_parameter(request, name)
            rows = rows.filter(**{f"{name}_id": wanted}) if wanted else rows
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(_shown(page or [], timezone.now()))

    @extend_schema(request=NewCheckSerializer, responses={201: CheckSerializer})
    def post(self, request: Request) -> Response:
        given = NewCheckSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        project = project_named(request, values.get("project"))
        resource = _resource(project, values.get("resource"))
        now = timezone.now()
        spec = CheckSpec(**{"options": {}, **_chosen(values)})
        check = acts.create_check(project=project, spec=spec, resource=resource, now=now)
        return Response(_shown([check], now)[0], status=status.HTTP_201_CREATED)


class _OneCheck(GenericAPIView[Check]):
    serializer_class = CheckSerializer
    queryset = Check.objects.none()

    def check(self, pk: uuid.UUID) -> Check:
        caller = caller_of(self.request)
        return get_or_404(checks_of(organization=caller.organization, project=caller.project), pk)

    def answer(self, check: Check, code: int = status.HTTP_200_OK) -> Response:
        check.refresh_from_db()
        return Response(_shown([check], timezone.now())[0], status=code)


class CheckDetail(_OneCheck):
    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        return self.answer(self.check(pk))

    @extend_schema(request=NewCheckSerializer(partial=True))
    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        """Options that are not sent stay as they are."""
        check = self.check(pk)
        given = NewCheckSerializer(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        if values.get("project", check.project_id) != check.project_id:
            raise ValidationError({"project": ["A check stays in its project."]})
        resource = _resource(check.project, values.get("resource"))
        changed = acts.edit_check(check_id=pk, changes=_chosen(values), resource=resource, now=timezone.now())
        return self.answer(changed)

    @extend_schema(responses={204: None})
    def delete(self, _request: Request, pk: uuid.UUID) -> Response:
        acts.delete_check(check_id=self.check(pk).id, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class CheckPause(_OneCheck):
    @extend_schema(request=None)
    def post(self, _request: Request, pk: uuid.UUID) -> Response:
        return self.answer(acts.pause_check(check_id=self.check(pk).id, now=timezone.now()))


class CheckResume(_OneCheck):
    @extend_schema(request=None)
    def post(self, _request: Request, pk: uuid.UUID) -> Response:
        return self.answer(acts.resume_check(check_id=self.check(pk).id, now=timezone.now()))


class RunNowSerializer(serializers.Serializer[Any]):
    slot = serializers.DateTimeField()


class CheckRunNow(_OneCheck):
    @extend_schema(request=None, responses={202: RunNowSerializer})
    def post(self, _request: Request, pk: uuid.UUID) -> Response:
        slot = acts.run_now(check_id=self.check(pk).id, now=timezone.now())
        return Response({"slot": timestamp(from_ms(slot))}, status=status.HTTP_202_ACCEPTED)


class RunSerializer(serializers.Serializer[CheckRun]):
    slot = serializers.SerializerMethodField()
    region = serializers.SerializerMethodField()
    verdict = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    started_at = serializers.SerializerMethodField()
    latency_ms = serializers.IntegerField(source="duration_ms")
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

    def get_started_at(self, run: CheckRun) -> str:
        return timestamp(from_ms(run.slot + run.started_after_ms))

    def get_facts(self, run: CheckRun) -> dict[str, Any]:
        """In full for runs that are not up and the first after a change; else the columns that every run keeps."""
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


class CheckRuns(_OneCheck):
    serializer_class = RunSerializer  # type: ignore[assignment]  # runs of a check, not checks
    pagination_class = SlotCursor

    @extend_schema(
        parameters=[
            OpenApiParameter("from", OpenApiTypes.DATETIME),
            OpenApiParameter("to", OpenApiTypes.DATETIME),
            OpenApiParameter("region", OpenApiTypes.STR),
            OpenApiParameter("verdict", OpenApiTypes.STR, enum=list(VERDICTS)),
        ]
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        now = timezone.now()
        rows: Any = runs_of(check_id=self.check(pk).id).filter(
            slot__lt=to_ms(_moment(request, "to") or now + timedelta(seconds=10))
        )
        start, verdict, region = _moment(request, "from"), request.query_params.get("verdict"), request.query_params.get("region")
        slugs = dict(Region.objects.values_list("id", "slug"))
        rows = rows.filter(slot__gte=to_ms(start)) if start else rows
        if verdict:
            if verdict not in VERDICTS:
                raise ValidationError({"verdict": [f"Must be one of {', '.join(VERDICTS)}."]})
            rows = rows.filter(verdict=VERDICTS.index(verdict))
        if region:
            rows = rows.filter(region_id__in=[key for key, slug in slugs.items() if slug == region])
        page: Any = self.paginate_queryset(rows) or []
        seen = Certificate.objects.in_bulk({run.certificate_id for run in page if run.certificate_id})
        context = {"slugs": slugs, "certificates": {key: certificate.facts for key, certificate in seen.items()}}
        return self.get_paginated_response(RunSerializer(page, many=True, context=context).data)


def _moment(request: Request, name: str) -> datetime | None:
    given = request.query_params.get(name)
    if not given:
        return None
    try:
        moment = parse_datetime(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1970 < moment.year < 9000:
        raise ValidationError({name: ["Must be a time like 2026-01-31T12:00:00Z."]})
    return moment


class UptimeSerializer(serializers.Serializer[Any]):
    uptime = serializers.FloatField(allow_null=True, help_text="(up + degraded) / (up + degraded + down), by seconds.")
    up_s = serializers.FloatField()
    degraded_s = serializers.FloatField()
    down_s = serializers.FloatField()
    unknown_s = serializers.FloatField()
    paused_s = serializers.FloatField()
    maintenance_s = serializers.FloatField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `from` is a keyword of the language.
        ends = {"from": serializers.DateTimeField(), "to": serializers.DateTimeField()}
        return {**ends, **super().get_fields()}


class CheckUptime(_OneCheck):
    serializer_class = UptimeSerializer  # type: ignore[assignment]  # sums of a check, not checks

    @extend_schema(
        parameters=[
            OpenApiParameter("period", OpenApiTypes.STR, description="1h to 8760h, or 1d to 365d; 30d by default."),
            OpenApiParameter("from", OpenApiTypes.DATETIME),
            OpenApiParameter("to", OpenApiTypes.DATETIME),
        ]
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        now = timezone.now()
        end = min(_moment(request, "to") or now, now)
        start = _moment(request, "from") or end - _period(request.query_params.get("period", "30d"))
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
    """`24h`, `30d`. Raises ValidationError."""
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdigit() and unit in ("h", "d") and len(number) < 5:
        seconds = int(number) * (3_600 if unit == "h" else _DAY_S)
        if 3_600 <= seconds <= 365 * _DAY_S:
            return timedelta(seconds=seconds)
    raise ValidationError({"period": ["Must be hours or days, like 24h or 30d, up to 365d."]})
