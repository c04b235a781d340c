"""Projects, resources, API keys, and sign-in and sign-out."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth import login, logout
from django.middleware.csrf import get_token
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_protect
from rest_framework import serializers, status
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied, Throttled, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.caller import actor_of, caller_of
from apps.api.pagination import CreatedCursor
from apps.api.scope import get_or_404, in_callers_tenant, resolve_project
from apps.api.strict import (
    StrictCharField,
    StrictIntegerField,
    StrictModelSerializer,
    StrictRequests,
    StrictSerializer,
    operation,
)
from apps.core.throttle import WINDOW_S
from apps.monitors.models import Resource
from apps.monitors.resources import create_resource, rename_resource
from apps.orgs.models import MAX_RETENTION, MIN_RETENTION, ApiKey, Project, Role
from apps.orgs.services import change_project, create_api_key, create_project, revoke_api_key
from apps.orgs.sign_in import TooManyTriesError, check_password


class ProjectSerializer(StrictModelSerializer):
    retention_days = StrictIntegerField(
        min_value=MIN_RETENTION, max_value=MAX_RETENTION, required=False, help_text="How long runs are kept."
    )

    class Meta:
        model = Project
        fields = ["id", "name", "retention_days", "created_at"]
        read_only_fields = ["id", "created_at"]


class ProjectList(StrictRequests, ListAPIView[Project]):
    """List the projects, the newest first."""

    serializer_class = ProjectSerializer
    pagination_class = CreatedCursor
    queryset = Project.objects.all()
    write_role = Role.ADMIN

    def get_queryset(self) -> Any:
        caller = caller_of(self.request)
        rows = Project.objects.filter(organization=caller.organization)
        return rows if caller.project is None else rows.filter(pk=caller.project.pk)

    @operation(responses={201: ProjectSerializer})
    def post(self, request: Request) -> Response:
        """Create a project."""
        given = ProjectSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        caller = caller_of(request)
        if caller.project is not None:
            raise PermissionDenied("An API key belongs to one project and makes no other.")
        project = create_project(
            actor=actor_of(self.request), now=timezone.now(), organization=caller.organization, **given.validated_data
        )
        return Response(ProjectSerializer(project).data, status=status.HTTP_201_CREATED)


class ProjectDetail(StrictRequests):
    serializer_class = ProjectSerializer
    queryset = Project.objects.all()
    write_role = Role.ADMIN

    def _project(self, pk: uuid.UUID) -> Project:
        caller = caller_of(self.request)
        rows = Project.objects.filter(organization=caller.organization)
        return get_or_404(rows if caller.project is None else rows.filter(pk=caller.project.pk), pk)

    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        """Return a project."""
        return Response(ProjectSerializer(self._project(pk)).data)

    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        """Change a project's name and how long its runs are kept."""
        project = self._project(pk)
        given = ProjectSerializer(project, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        values = {"name": project.name, "retention_days": project.retention_days, **given.validated_data}
        return Response(
            ProjectSerializer(change_project(actor=actor_of(self.request), now=timezone.now(), project=project, **values)).data
        )


class ResourceSerializer(StrictModelSerializer):
    project = serializers.UUIDField(source="project_id", required=False)

    class Meta:
        model = Resource
        fields = ["id", "project", "name", "created_at"]
        read_only_fields = ["id", "created_at"]


class ResourceList(StrictRequests, ListAPIView[Resource]):
    """List the resources, the newest first."""

    serializer_class = ResourceSerializer
    pagination_class = CreatedCursor
    queryset = Resource.objects.all()

    def get_queryset(self) -> Any:
        return in_callers_tenant(Resource.objects.all(), caller_of(self.request))

    @operation(responses={201: ResourceSerializer})
    def post(self, request: Request) -> Response:
        """Create a resource."""
        given = ResourceSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        project = resolve_project(request, given.validated_data.get("project_id"))
        row = create_resource(
            actor=actor_of(self.request), now=timezone.now(), project=project, name=given.validated_data["name"]
        )
        return Response(ResourceSerializer(row).data, status=status.HTTP_201_CREATED)


class ResourceDetail(StrictRequests):
    serializer_class = ResourceSerializer
    queryset = Resource.objects.all()

    def _resource(self, pk: uuid.UUID) -> Resource:
        return get_or_404(in_callers_tenant(Resource.objects.all(), caller_of(self.request)), pk)

    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        """Return a resource."""
        return Response(ResourceSerializer(self._resource(pk)).data)

    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        """Rename a resource."""
        resource = self._resource(pk)
        given = ResourceSerializer(resource, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        name = given.validated_data.get("name", resource.name)
        return Response(
            ResourceSerializer(
                rename_resource(actor=actor_of(self.request), now=timezone.now(), resource=resource, name=name)
            ).data
        )


class ApiKeySerializer(StrictModelSerializer):
    project = serializers.UUIDField(source="project_id", required=False)

    class Meta:
        model = ApiKey
        fields = ["id", "project", "name", "prefix", "role", "created_at", "expires_at", "last_used_at"]
        read_only_fields = ["id", "prefix", "created_at", "last_used_at"]


class NewApiKeySerializer(ApiKeySerializer):
    key = serializers.CharField(read_only=True, help_text="The key itself, shown once.")

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "key"]


class ApiKeyList(StrictRequests, ListAPIView[ApiKey]):
    """List the API keys, the newest first."""

    serializer_class = ApiKeySerializer
    pagination_class = CreatedCursor
    queryset = ApiKey.objects.all()
    read_role = write_role = Role.ADMIN

    def get_queryset(self) -> Any:
        return in_callers_tenant(ApiKey.objects.filter(revoked_at=None), caller_of(self.request))

    @operation(request=ApiKeySerializer, responses={201: NewApiKeySerializer})
    def post(self, request: Request) -> Response:
        """Create an API key. The key itself is in this answer alone."""
        given = ApiKeySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        role = Role(values.get("role", Role.MEMBER))
        expires_at = values.get("expires_at")
        if expires_at is not None and expires_at <= timezone.now():
            raise ValidationError({"expires_at": ["Must be in the future."]})
        project = resolve_project(request, values.get("project_id"))
        row, key = create_api_key(
            actor=actor_of(self.request),
            now=timezone.now(),
            project=project,
            name=values["name"],
            role=role,
            expires_at=expires_at,
            maker_role=caller_of(request).role,
        )
        return Response({**ApiKeySerializer(row).data, "key": key}, status=status.HTTP_201_CREATED)


class ApiKeyDetail(StrictRequests):
    serializer_class = ApiKeySerializer
    queryset = ApiKey.objects.all()
    read_role = write_role = Role.ADMIN

    def _key(self, pk: uuid.UUID) -> ApiKey:
        return get_or_404(in_callers_tenant(ApiKey.objects.filter(revoked_at=None), caller_of(self.request)), pk)

    def get(self, _request: Request, pk: uuid.UUID) -> Response:
        """Return an API key, without the key itself."""
        return Response(ApiKeySerializer(self._key(pk)).data)

    @operation(responses={204: None})
    def delete(self, _request: Request, pk: uuid.UUID) -> Response:
        """Revoke an API key."""
        revoke_api_key(actor=actor_of(self.request), key=self._key(pk), now=timezone.now(), revoker_role=caller_of(_request).role)
        return Response(status=status.HTTP_204_NO_CONTENT)


class CredentialsSerializer(StrictSerializer):
    email = serializers.EmailField()
    password = StrictCharField(trim_whitespace=False, max_length=1000)


class SessionInfoSerializer(serializers.Serializer[Any]):
    user_id = serializers.UUIDField()
    email = serializers.EmailField()
    csrf_token = serializers.CharField()


@method_decorator(csrf_protect, name="delete")
class Session(StrictRequests):
    """Sign in and out: for the API's documentation page and other same-origin clients."""

    serializer_class = CredentialsSerializer
    permission_classes = [AllowAny]
    authentication_classes = []
    throttle_classes = []

    @operation(request=CredentialsSerializer, responses={200: SessionInfoSerializer})
    def post(self, request: Request) -> Response:
        """Sign in with e-mail and password, for a browser; programs use a key."""
        given = CredentialsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        try:
            user = check_password(request._request, email=values["email"], password=values["password"])
        except TooManyTriesError as error:
            raise Throttled(wait=WINDOW_S) from error
        if user is None:
            raise AuthenticationFailed("E-mail or password is wrong.")
        login(request._request, user)
        return Response({"user_id": user.pk, "email": user.email, "csrf_token": get_token(request._request)})

    @operation(responses={204: None})
    def delete(self, request: Request) -> Response:
        """Sign out."""
        logout(request._request)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def get_authenticate_header(self, request: Request) -> str:
        return 'Session realm="api"'
