"""Reads of API keys, memberships and projects."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime

from django.db.models import Q

from apps.orgs.models import ApiKey, Membership, Organization, Project, User


def find_api_key(*, key: str, now: datetime) -> ApiKey | None:
    """Return the API key with its project and organization, or None if it is unknown, revoked or expired."""
    keys = ApiKey.objects.select_related("project", "organization")
    valid = Q(expires_at=None) | Q(expires_at__gt=now)
    return keys.filter(valid, digest=digest_of(key), revoked_at=None).first()


def find_membership(*, user: User, organization_id: str | None) -> Membership | None:
    """Return the user's membership in the given organization; without one, that in the oldest organization."""
    memberships = Membership.objects.select_related("organization").filter(user=user)
    if organization_id is not None:
        memberships = memberships.filter(organization_id=organization_id)
    return memberships.order_by("organization__created_at", "pk").first()


def is_set_up() -> bool:
    """Return whether the installation has been set up: it has a member outside the demo organization."""
    return Membership.objects.filter(organization__is_demo=False).exists()


def has_demo() -> bool:
    """Return whether there is a demo to sign in to."""
    return Organization.objects.filter(is_demo=True).exists()


def find_member(*, user: User, organization_id: uuid.UUID) -> Membership | None:
    """Return the user's membership in exactly this organization, or None."""
    return Membership.objects.filter(user=user, organization_id=organization_id).first()


def projects_of(*, user: User) -> list[Project]:
    """Return every project that the user may see, by organization and name; those of the demo come last."""
    projects = Project.objects.select_related("organization").filter(organization__memberships__user=user)
    return list(projects.order_by("organization__is_demo", "organization__name", "name", "pk"))


def digest_of(key: str) -> str:
    """Return the SHA-256 digest of an API key. Keys have 256 random bits, so that no slow password hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()
