"""Models of tenants: users, organizations, memberships, projects, API keys and the audit log.

Every row of a tenant carries its organization.
"""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower

from apps.orgs.emails import normalized_email

NAME_LENGTH = 100
"""Of a person's name, in characters."""


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=normalized_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=normalized_email(username or ""))


class User(AbstractBaseUser, PermissionsMixin):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=NAME_LENGTH, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)
    """The IANA zone in which pages show times; empty: the browser's."""
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique")]

    def __str__(self) -> str:
        """Return what others call this person: the name, without one the e-mail address."""
        return self.name or self.email

    def clean(self) -> None:
        """Normalize the e-mail address; called by model forms."""
        self.email = normalized_email(self.email)


class Role(models.TextChoices):
    """Roles from weakest to strongest; a stronger role includes the rights of the weaker ones."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "owner"

    def covers(self, needed: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Organization(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True)
    is_demo = models.BooleanField(default=False)
    """Created by `manage.py demo`; `manage.py demo --remove` deletes it with everything in it."""
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_unique"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} as {self.role}"


MIN_RETENTION, MAX_RETENTION = 3, 3_650
"""Limits of `Project.retention_days`."""


def new_ping_key() -> str:
    return secrets.token_urlsafe(16)


class Project(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="projects")
    name = models.CharField(max_length=100)
    ping_key = models.CharField(max_length=22, unique=True, default=new_ping_key, editable=False)
    """A secret that allows pinging the project's heartbeats by slug and creating new ones, and nothing else."""
    retention_days = models.IntegerField(default=90, db_default=90)
    """Days for which runs are kept. Uptime and incidents are not deleted."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="project_name_unique"),
            models.CheckConstraint(
                condition=models.Q(retention_days__gte=MIN_RETENTION, retention_days__lte=MAX_RETENTION), name="project_retention"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def project_id(self) -> uuid.UUID:
        """Return the project's own id, so that a project can be the subject of an audit entry (`audit.Tenanted`)."""
        return self.id


class ApiKey(models.Model):
    """A key that acts in one project with one role. Only its hash is stored."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="api_keys")
    project = models.ForeignKey(Project, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    is_script = models.BooleanField(default=False)
    """Created by `manage.py bootstrap`, which replaces it on its next run."""
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(role__in=Role.values), name="apikey_role_known")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AuditEntry(models.Model):
    """Who did what, when and from where. It has no foreign keys, since it outlives the rows it refers to. It is never
    changed, and never deleted by hand.
    """

    id = models.BigAutoField(primary_key=True)
    organization_id = models.UUIDField()
    project_id = models.UUIDField(null=True)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=300)
    action = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=40)
    subject_name = models.CharField(max_length=300)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    """For a change, `before` and `after` hold only the fields that differ; secrets are masked."""
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["organization_id", "-created_at"], name="auditentry_newest")]  # the log, newest first

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.action} {self.subject_name}"
