"""Checks: list, create, change, delete, pause, resume, run now, rotate the ping URL."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.caller import actor_of, caller_of
from apps.api.check_serializers import CheckSerializer, NewCheckSerializer, chosen, show_checks
from apps.api.pagination import CreatedCursor
from apps.api.scope import get_or_404, resolve_project, uuid_parameter
from apps.api.strict import StrictRequests, operation
from apps.core.clock import from_ms, timestamp
from apps.incidents.services import check_commands
from apps.monitors.check_spec import CheckSpec
from apps.monitors.models import Check, Resource
from apps.monitors.selectors import checks_of, ping_url
from apps.monitors.services import rotate_ping_secret
from apps.orgs.models import Project


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
        """List the checks with their status, the newest first."""
        caller = caller_of(request)
        rows = checks_of(organization=caller.organization, project=caller.project)
        for name in ("project", "resource"):
            wanted = uuid_parameter(request, name)
            rows = rows.filter(**{f"{name}_id": wanted}) if wanted else rows
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(show_checks(page or [], timezone.now(), caller=caller))

    @operation(request=NewCheckSerializer, responses={201: CheckSerializer})
    def post(self, request: Request) -> Response:
        """Create a check; it runs at once. Without `resource` it gets one of its own name."""
        given = NewCheckSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        project = resolve_project(request, values.get("project"))
        resource = _resource(project, values.get("resource"))
        now = timezone.now()
        spec = CheckSpec(**{"options": {}, "target": "", **chosen(values)})
        check = check_commands.create_check(actor=actor_of(self.request), project=project, spec=spec, resource=resource, now=now)
        return Response(show_checks([check], now, caller=caller_of(request))[0], status=status.HTTP_201_CREATED)


class OneCheck(StrictRequests):
    serializer_class = CheckSerializer
    queryset = Check.objects.none()

    def check(self, pk: uuid.UUID) -> Check:
        caller = caller_of(self.request)
        return get_or_404(checks_of(organization=caller.organization, project=caller.project), pk)

    def answer(self, check: Check, code: int = status.HTTP_200_OK) -> Response:
        check.refresh_from_db()
        return Response(show_checks([check], timezone.now(), caller=caller_of(self.request))[0], status=code)


class CheckDetail(OneCheck):
    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        """Return a check with its status."""
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
        """Delete a check. An open incident of it is resolved."""
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
