"""Who is asking, and what is theirs."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime

from django.db.models import Q

from apps.orgs.models import ApiKey, Membership, Project, User


def find_api_key(*, key: str, now: datetime) -> ApiKey | None:
    """The key that is neither revoked nor expired, with its project and organization."""
    keys = ApiKey.objects.select_related("project", "organization")
    valid = Q(expires_at=None) | Q(expires_at__gt=now)
    return keys.filter(valid, digest=digest_of(key), revoked_at=None).first()


def find_membership(*, user: User, organization_id: str | None) -> Membership | None:
    """The membership in the named organization, or the user's first one."""
    memberships = Membership.objects.select_related("organization").filter(user=user)
    if organization_id is not None:
        memberships = memberships.filter(organization_id=organization_id)
    return memberships.order_by("organization__created_at", "pk").first()


def is_set_up() -> bool:
    """Whether the installation has an owner; the demo's does not count."""
    return Membership.objects.filter(organization__is_demo=False).exists()


def find_member(*, user: User, organization_id: uuid.UUID) -> Membership | None:
    """The user's membership in exactly this organization."""
    return Membership.objects.filter(user=user, organization_id=organization_id).first()


def projects_of(*, user: User) -> list[Project]:
    """Every project that the user may see, by organization and name."""
    projects = Project.objects.select_related("organization").filter(organization__memberships__user=user)
    return list(projects.order_by("organization__is_demo", "organization__name", "name", "pk"))


def digest_of(key: str) -> str:
    """A key has 256 random bits: a plain hash is enough, and quick."""
    return hashlib.sha256(key.encode()).hexdigest()
