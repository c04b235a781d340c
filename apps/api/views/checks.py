"""Checks: list, create, change, delete, pause, resume, run now, rotate the ping URL, and trials."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.caller import Caller, actor_of, caller_of
from apps.api.pagination import CreatedCursor
from apps.api.scope import get_or_404, in_callers_tenant, resolve_project, uuid_parameter
from apps.api.strict import StrictCharField, StrictIntegerField, StrictLineField, StrictRequests, StrictSerializer, operation
from apps.api.throttling import ensure_within
from apps.core.clock import from_ms, to_ms
from apps.incidents.history import recent_runs_queries
from apps.incidents.list_views import regions_that_fail
from apps.incidents.models import CheckState
from apps.incidents.payloads import timestamp
from apps.incidents.selectors import open_pauses, shown_state
from apps.incidents.services import check_commands
from apps.monitors.check_spec import CheckSpec, masked_options, validate_spec
from apps.monitors.models import Check, Region, Resource
from apps.monitors.selectors import checks_of, ping_url
from apps.monitors.services import rotate_ping_secret
from apps.orgs.models import Project, Role
from apps.results.models import Trial
from apps.results.selectors import last_runs, recent_runs
from apps.results.trials import TRIALS, is_over, start_trial


class ReasonSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class LastRunSerializer(serializers.Serializer[Any]):
    slot = serializers.DateTimeField()
    region = serializers.CharField()
    verdict = serializers.CharField()
    latency_ms = serializers.IntegerField(allow_null=True, help_text="Null of a heartbeat whose start was not told.")


class CheckSerializer(serializers.Serializer[Any]):
    """A check as it is shown. `status` is the current one; pauses and silent regions are taken into account."""

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
    retries = serializers.IntegerField()
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
    failing_regions = serializers.ListField(
        child=serializers.CharField(), help_text="Those that see it down while others do not, whatever they decide together."
    )
    ping_url = serializers.CharField(allow_null=True, help_text="Where a heartbeat's job reports; null below member.")
    created_at = serializers.DateTimeField()


class NewCheckSerializer(StrictSerializer):
    """The fields of a check that a client may set."""

    project = serializers.UUIDField(required=False, help_text="The API key's project by default.")
    resource = serializers.UUIDField(required=False, help_text="By default a resource of the check's name is made.")
    name = StrictLineField(max_length=200)
    kind = StrictCharField(max_length=20)
    target = StrictCharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        help_text="Of a heartbeat: words about what sends the pings, or nothing.",
    )
    options = serializers.DictField(required=False)
    interval_s = StrictIntegerField(required=False)
    timeout_s = StrictIntegerField(required=False, allow_null=True)
    degraded_ms = StrictIntegerField(required=False, allow_null=True)
    retries = StrictIntegerField(required=False, help_text="Further attempts within a run, where one may help.")
    fail_after = StrictIntegerField(required=False)
    recover_after = StrictIntegerField(required=False)
    quorum = StrictIntegerField(required=False, allow_null=True)
    regions = serializers.ListField(
        child=StrictCharField(max_length=40), required=False, max_length=100,
        help_text="Slugs; by default all that are enabled. A heartbeat is heard by the core, whatever stands here.",
    )  # fmt: skip


def _shown(checks: Sequence[Check], now: datetime, *, caller: Caller) -> list[dict[str, Any]]:
    """Return a page of checks with their states and last runs, in a fixed number of queries."""
    may_ping = caller.role.covers(Role.MEMBER)
    ids = [check.id for check in checks]
    states = CheckState.objects.in_bulk(ids)
    pauses = open_pauses(checks)
    runs = last_runs(wanted=recent_runs_queries(checks), now_ms=to_ms(now))
    slugs = dict(Region.objects.values_list("id", "slug"))
    several = [check for check in checks if len(check.region_ids) > 1]
    rounds = max((len(check.region_ids) for check in several), default=0) * 2
    recent = recent_runs(wanted=recent_runs_queries(several), count=rounds, now_ms=to_ms(now)) if several else {}
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
                "retries": check.retries,
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
                "failing_regions": regions_that_fail(recent.get(check.id, []), check, slugs),
                "ping_url": ping_url(check) if may_ping else None,
                "created_at": timestamp(check.created_at),
            }
        )
    return shown


_NOT_OF_THE_SPEC = ("project", "resource")


def chosen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the sent values that are fields of a `CheckSpec`."""
    found = {name: value for name, value in values.items() if name not in _NOT_OF_THE_SPEC}
    return {**found, "regions": tuple(found["regions"])} if "regions" in found else found


def _resource(project: Project, resource_id: uuid.UUID | None) -> Resource | None:
    if resource_id is None:
        return None
    found = Resource.objects.filter(project=project, pk=resource_id).first()
    if found is None:
        raise ValidationError({"resource": ["There is no such resource in the project."]})
    return found


class CheckList(StrictRequests):
    serializer_class = CheckSerializer
    pagination_class = CreatedCursor
    queryset = Check.objects.none()

    @operation(
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
        return self.get_paginated_response(_shown(page or [], timezone.now(), caller=caller))

    @operation(request=NewCheckSerializer, responses={201: CheckSerializer})
    def post(self, request: Request) -> Response:
        given = NewCheckSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        project = resolve_project(request, values.get("project"))
        resource = _resource(project, values.get("resource"))
        now = timezone.now()
        spec = CheckSpec(**{"options": {}, "target": "", **chosen(values)})
        check = check_commands.create_check(actor=actor_of(self.request), project=project, spec=spec, resource=resource, now=now)
        return Response(_shown([check], now, caller=caller_of(request))[0], status=status.HTTP_201_CREATED)


class OneCheck(StrictRequests):
    serializer_class = CheckSerializer
    queryset = Check.objects.none()

    def check(self, pk: uuid.UUID) -> Check:
        caller = caller_of(self.request)
        return get_or_404(checks_of(organization=caller.organization, project=caller.project), pk)

    def answer(self, check: Check, code: int = status.HTTP_200_OK) -> Response:
        check.refresh_from_db()
        return Response(_shown([check], timezone.now(), caller=caller_of(self.request))[0], status=code)


class CheckDetail(OneCheck):
    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        return self.answer(self.check(pk))

    @operation(request=NewCheckSerializer(partial=True))
    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        """Change a check. Fields and options that are not sent stay as they are."""
        check = self.check(pk)
        given = NewCheckSerializer(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        if values.get("project", check.project_id) != check.project_id:
            raise ValidationError({"project": ["A check stays in its project."]})
        resource = _resource(check.project, values.get("resource"))
        changed = check_commands.edit_check(
            actor=actor_of(self.request), check_id=pk, changes=chosen(values), resource=resource, now=timezone.now()
        )
        return self.answer(changed)

    @operation(responses={204: None})
    def delete(self, _request: Request, pk: uuid.UUID) -> Response:
        check_commands.delete_check(actor=actor_of(self.request), check_id=self.check(pk).id, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class CheckPause(OneCheck):
    @operation(request=None)
    def post(self, _request: Request, pk: uuid.UUID) -> Response:
        """Pause a check: nothing runs until it is resumed."""
        return self.answer(
            check_commands.pause_check(actor=actor_of(self.request), check_id=self.check(pk).id, now=timezone.now())
        )


class CheckResume(OneCheck):
    @operation(request=None)
    def post(self, _request: Request, pk: uuid.UUID) -> Response:
        """Resume a paused check; it runs at once."""
        return self.answer(
            check_commands.resume_check(actor=actor_of(self.request), check_id=self.check(pk).id, now=timezone.now())
        )


class CheckRotatePingUrl(OneCheck):
    @operation(request=None)
    def post(self, _request: Request, pk: uuid.UUID) -> Response:
        """Give a heartbeat a new ping URL. The old one is not accepted any more."""
        check = self.check(pk)
        if ping_url(check) is None:
            raise ValidationError({"kind": ["Only a heartbeat has a ping address."]})
        return self.answer(rotate_ping_secret(actor=actor_of(self.request), now=timezone.now(), check=check))


class RunNowSerializer(serializers.Serializer[Any]):
    slot = serializers.DateTimeField()


class CheckRunNow(OneCheck):
    @operation(request=None, responses={202: RunNowSerializer})
    def post(self, _request: Request, pk: uuid.UUID) -> Response:
        """Run a check now. Pressed again while that run is under way, the answer is the same slot."""
        slot = check_commands.run_now(actor=actor_of(self.request), check_id=self.check(pk).id, now=timezone.now())
        return Response({"slot": timestamp(from_ms(slot))}, status=status.HTTP_202_ACCEPTED)


class TrialAnswerSerializer(serializers.Serializer[Any]):
    region = serializers.CharField()
    verdict = serializers.CharField()
    reason = ReasonSerializer(allow_null=True)
    latency_ms = serializers.IntegerField()
    facts = serializers.JSONField()


class TrialSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    is_over = serializers.BooleanField(help_text="Every region answered, or those that did not will not.")
    regions = serializers.ListField(child=serializers.CharField())
    answers = TrialAnswerSerializer(many=True)


class CheckTrial(StrictRequests):
    """Run a check before it is saved. Only the results are kept, for an hour."""

    serializer_class = NewCheckSerializer
    queryset = Trial.objects.none()

    @operation(request=NewCheckSerializer, responses={202: TrialSerializer})
    def post(self, request: Request) -> Response:
        """Test a check in all its regions before it is saved."""
        given = NewCheckSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        project = resolve_project(request, values.get("project"))
        ensure_within(TRIALS, project)
        now = timezone.now()
        trial = start_trial(
            actor=actor_of(self.request),
            project=project,
            fields=validate_spec(CheckSpec(**{"options": {}, "target": "", **chosen(values)})),
            now=now,
        )
        return Response(_trial(trial, now), status=status.HTTP_202_ACCEPTED)


class CheckTrialDetail(StrictRequests):
    serializer_class = TrialSerializer
    queryset = Trial.objects.none()

    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """Return what the regions have answered to a trial so far."""
        return Response(_trial(get_or_404(in_callers_tenant(Trial.objects.all(), caller_of(request)), pk), timezone.now()))


def _trial(trial: Trial, now: datetime) -> dict[str, Any]:
    slugs = dict(Region.objects.values_list("id", "slug"))
    answers = list(trial.answers.order_by("region_id"))
    return {
        "id": str(trial.id),
        "is_over": is_over(trial=trial, answers=answers, now=now),
        "regions": [slugs[region] for region in trial.region_ids if region in slugs],
        "answers": [
            {
                "region": slugs.get(answer.region_id, ""),
                "verdict": answer.verdict,
                "reason": {"code": answer.reason, "message": answer.message} if answer.reason else None,
                "latency_ms": answer.duration_ms,
                "facts": answer.facts,
            }
            for answer in answers
        ],
    }
