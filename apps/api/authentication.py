"""Authentication by API key or session. Both produce a `Caller`."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from apps.api.caller import Caller
from apps.orgs.models import Role, User
from apps.orgs.selectors import find_api_key, find_membership
from apps.orgs.services import note_use


class ApiKeyAuthentication(authentication.BaseAuthentication):
    """Authentication by the header `X-API-Key: grt_…`."""

    def authenticate(self, request: Request) -> tuple[User | None, Caller] | None:
        given = request.headers.get("X-API-Key")
        if not given:
            return None
        now = timezone.now()
        key = find_api_key(key=given, now=now)
        if key is None:
            raise AuthenticationFailed("The API key is not known, expired or revoked.", code="bad_api_key")
        note_use(key=key, now=now)
        return None, Caller(key.organization, Role(key.role), project=key.project, key=key)

    def authenticate_header(self, _request: Request) -> str:
        return 'ApiKey realm="api"'


class SessionAuthentication(authentication.SessionAuthentication):
    """Authentication by the session of `POST session/`; X-Organization selects among several organizations."""

    def authenticate(self, request: Request) -> tuple[User, Caller] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        user: User = found[0]
        membership = find_membership(user=user, organization_id=_organization_id(request))
        if membership is None:
            raise PermissionDenied("You are not a member of this organization.")
        return user, Caller(membership.organization, Role(membership.role), user=user)


def _organization_id(request: Request) -> str | None:
    given = request.headers.get("X-Organization")
    if not given:
        return None
    try:
        return str(uuid.UUID(given))
    except ValueError as error:
        raise PermissionDenied("X-Organization must be an organization's id.") from error


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library's registry is untyped
    target_class = "apps.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "X-API-Key"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library's registry is untyped
    target_class = "apps.api.authentication.SessionAuthentication"
    name = "Session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "goruptime_session"}
