"""Writes to tenants: first setup, projects and API keys."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from django.db import connection, transaction

from apps.core.errors import FieldError
from apps.orgs.actors import SYSTEM, Actor
from apps.orgs.audit import changes_of, record_audit_entry
from apps.orgs.emails import normalized_email
from apps.orgs.models import ApiKey, Membership, Organization, Project, Role, User
from apps.orgs.selectors import digest_of, is_set_up

_USED_STEP = timedelta(minutes=1)


class KeyRoleError(Exception):
    """A key's role exceeds that of whoever revokes it."""


class SetUpError(Exception):
    """The installation is already set up."""


@transaction.atomic
def set_up(*, email: str, password: str, organization: str, project: str, now: datetime) -> tuple[User, Project]:
    """Create the first account, which owns a new organization and operates the installation. Raises SetUpError,
    FieldError.

    An advisory lock keeps two simultaneous calls from creating two accounts.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('goruptime set up'))")
    if is_set_up():
        raise SetUpError
    if User.objects.filter(email=normalized_email(email)).exists():
        raise FieldError("email", "an account with this address exists already")
    if Organization.objects.filter(name=organization).exists():
        raise FieldError("organization", f"an organization {organization!r} exists already")
    user = User.objects.create_superuser(email, password)
    org = Organization.objects.create(name=organization)
    Membership.objects.create(organization=org, user=user, role=Role.OWNER)
    home = Project.objects.create(organization=org, name=project)
    record_audit_entry(actor=Actor("user", user.pk, user.email), action="organization.set_up", subject=home, now=now)
    return user, home


@transaction.atomic
def create_project(*, actor: Actor, organization: Organization, name: str, now: datetime, retention_days: int = 90) -> Project:
    """Create a project. Raises FieldError."""
    project, is_new = Project.objects.get_or_create(
        organization=organization, name=name, defaults={"retention_days": retention_days}
    )
    if not is_new:
        raise FieldError("name", f"a project {name!r} exists already")
    record_audit_entry(actor=actor, action="project.created", subject=project, now=now)
    return project


@transaction.atomic
def change_project(*, actor: Actor, project: Project, name: str, retention_days: int, now: datetime) -> Project:
    """Change a project's name and retention, whose limits the caller has checked. Raises FieldError."""
    if Project.objects.filter(organization_id=project.organization_id, name=name).exclude(pk=project.pk).exists():
        raise FieldError("name", f"a project {name!r} exists already")
    before = {"name": project.name, "retention_days": project.retention_days}
    project.name, project.retention_days = name, retention_days
    project.save(update_fields=["name", "retention_days"])
    differs = changes_of(before, {"name": name, "retention_days": retention_days})
    if differs[1]:
        record_audit_entry(actor=actor, action="project.changed", subject=project, now=now, before=differs[0], after=differs[1])
    return project


@transaction.atomic
def create_api_key(
    *,
    actor: Actor,
    project: Project,
    name: str,
    role: Role,
    now: datetime,
    maker_role: Role = Role.OWNER,
    expires_at: datetime | None = None,
    is_script: bool = False,
) -> tuple[ApiKey, str]:
    """Return a new key's row, and the key, which is not stored. Raises FieldError if `role` exceeds `maker_role`."""
    if not maker_role.covers(role):
        raise FieldError("role", "a key cannot do more than who creates it")
    key = f"grt_{secrets.token_urlsafe(32)}"
    row = ApiKey.objects.create(
        organization_id=project.organization_id,
        project=project,
        name=name,
        prefix=key[:8],
        digest=digest_of(key),
        role=role,
        expires_at=expires_at,
        is_script=is_script,
    )
    record_audit_entry(actor=actor, action="api_key.created", subject=row, now=now, after={"role": role})
    return row, key


@transaction.atomic
def revoke_api_key(*, actor: Actor, key: ApiKey, now: datetime, revoker_role: Role = Role.OWNER) -> None:
    """Revoke a key; repeating it changes nothing. Raises KeyRoleError if the key's role exceeds `revoker_role`."""
    if not revoker_role.covers(Role(key.role)):
        raise KeyRoleError("The key can do more than you: somebody with its role revokes it.")
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
        record_audit_entry(actor=actor, action="api_key.revoked", subject=key, now=now)


def note_use(*, key: ApiKey, now: datetime) -> None:
    """Record when the key was last used, to the minute, so that not every request writes a row."""
    if key.last_used_at is None or now - key.last_used_at > _USED_STEP:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


@transaction.atomic
def bootstrap(*, email: str, password: str, organization: str, project: str, now: datetime) -> tuple[User, Project, str]:
    """Create an owner, an organization and a project where missing, and a new script key; the old script key is
    revoked.

    The owner becomes an operator (admin access) if the installation was not set up before. The password of an existing
    user is overwritten: whoever may run this command owns the installation.
    """
    org, _ = Organization.objects.select_for_update().get_or_create(name=organization)
    is_first = not is_set_up()
    known = User.objects.filter(email=normalized_email(email)).first()
    user = known or User.objects.create_user(email, None)
    user.set_password(password)
    if is_first:
        user.is_staff = user.is_superuser = True
    user.save(update_fields=["password", "is_staff", "is_superuser"])
    Membership.objects.update_or_create(organization=org, user=user, defaults={"role": Role.OWNER})
    home, _ = Project.objects.get_or_create(organization=org, name=project)
    action = "user.created" if known is None else "user.password_changed"
    record_audit_entry(actor=SYSTEM, action=action, subject=home, now=now, after={"email": user.email, "role": Role.OWNER})
    for old in ApiKey.objects.filter(project=home, is_script=True, revoked_at=None):
        revoke_api_key(actor=SYSTEM, key=old, now=now)
    _, key = create_api_key(actor=SYSTEM, project=home, name="script", role=Role.ADMIN, now=now, is_script=True)
    return user, home, key


@transaction.atomic
def change_profile(*, actor: Actor, project: Project, user: User, name: str, time_zone: str, now: datetime) -> None:
    """Change a person's name and time zone; recorded in the audit log of the project that they are in."""
    differs = changes_of({"name": user.name, "time_zone": user.time_zone}, {"name": name, "time_zone": time_zone})
    user.name, user.time_zone = name, time_zone
    user.save(update_fields=["name", "time_zone"])
    if differs[1]:
        before, after = differs
        record_audit_entry(actor=actor, action="user.profile_changed", subject=project, now=now, before=before, after=after)


@transaction.atomic
def change_password(*, actor: Actor, project: Project, user: User, password: str, now: datetime) -> None:
    """Set a password that was validated. The user's other sessions end."""
    user.set_password(password)
    user.save(update_fields=["password"])
    record_audit_entry(actor=actor, action="user.password_changed", subject=project, now=now, after={"email": user.email})
