"""The authenticated caller of a request and its tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from rest_framework.request import Request

from apps.orgs.actors import Actor, key_actor, user_actor
from apps.orgs.models import ApiKey, Organization, Project, Role, User


@dataclass(frozen=True)
class Caller:
    organization: Organization
    role: Role
    project: Project | None = None
    """The one project that the caller's key is for; None for a member's session."""
    user: User | None = None
    key: ApiKey | None = None


def actor_of(request: Request) -> Actor:
    """Return the caller as the actor of audit entries."""
    caller = caller_of(request)
    if caller.key is not None:
        return key_actor(caller.key, request.META)
    assert caller.user is not None
    return user_actor(caller.user, request.META)


def caller_of(request: Request) -> Caller:
    """Return the caller of a request that has passed the permission check."""
    return cast(Caller, request.auth)
