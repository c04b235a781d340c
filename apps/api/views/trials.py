"""Trials: run a check in all its regions before it is saved."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.caller import actor_of, caller_of
from apps.api.check_serializers import NewCheckSerializer, ReasonSerializer, chosen
from apps.api.scope import get_or_404, in_callers_tenant, resolve_project
from apps.api.strict import StrictRequests, operation
from apps.api.throttling import ensure_within
from apps.monitors.check_spec import CheckSpec, validate_spec
from apps.monitors.models import Region
from apps.results.models import Trial
from apps.results.trials import TRIALS, is_over, start_trial


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
