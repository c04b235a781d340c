"""Who asks, and for which tenant: what every view starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from rest_framework.request import Request

from apps.orgs.models import ApiKey, Organization, Project, Role, User


@dataclass(frozen=True)
class Caller:
    organization: Organization
    role: Role
    project: Project | None = None
    """The one project that the caller's key is for; None for a member's session."""
    user: User | None = None
    key: ApiKey | None = None


def caller_of(request: Request) -> Caller:
    """Of a request that the permission has let through."""
    return cast(Caller, request.auth)
