"""What is monitored, from which regions, and when."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.fields.json import KeyTextTransform

from apps.core.crypto import EncryptedJSONField
from apps.orgs.models import Organization, Project

MIN_INTERVAL_S, MAX_INTERVAL_S = 5, 86_400
MAX_TIMEOUT_S = 60
"""Limited, because a run holds a socket of its worker for that long."""


CORE = "core"
"""The slug of the region that receives pings of passive checks: the core itself. It has no probe workers."""


class RegionQuerySet(models.QuerySet["Region"]):
    def probing(self) -> RegionQuerySet:
        """Filter to the regions in which probes run now."""
        return self.filter(is_enabled=True).exclude(slug=CORE)


class Region(models.Model):
    """A probe region of the installation.

    Its liveness is judged by the times at which its messages were sent (epoch ms of the core's clock).
    """

    id = models.SmallAutoField(primary_key=True)
    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    is_enabled = models.BooleanField(default=True)
    key = EncryptedJSONField(bound_to="slug")
    key_id = models.CharField(max_length=16)
    heard_at_ms = models.BigIntegerField(null=True)
    """When the core last received a message of this region; jobs are sent only to regions heard from lately."""
    last_sent_ms = models.BigIntegerField(null=True)
    """When the newest message was sent; never decreases."""
    silent_from_ms = models.BigIntegerField(null=True)
    silent_until_ms = models.BigIntegerField(null=True)
    clock_offset_ms = models.BigIntegerField(default=0)
    in_flight = models.IntegerField(default=0)
    dropped = models.JSONField(default=dict)
    canaries = models.JSONField(default=dict)
    """Which canaries the worker that reported last could reach."""
    workers = models.JSONField(default=dict)
    """The last report of each living worker; `in_flight` and `dropped` are their sums."""
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RegionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(silent_from_ms=None, silent_until_ms=None) | Q(silent_until_ms__gt=F("silent_from_ms")),
                name="region_silence_is_a_span",
            )
        ]

    def __str__(self) -> str:
        return self.slug


class Resource(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="resources")
    project = models.ForeignKey(Project, models.CASCADE, related_name="resources")
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="resource_name_unique")]
        indexes = [models.Index(fields=["organization", "-created_at", "id"], name="resource_list")]  # list, newest first

    def __str__(self) -> str:
        return self.name


class CheckQuerySet(models.QuerySet["Check"]):
    def live(self) -> CheckQuerySet:
        """Filter to the checks that are not deleted."""
        return self.filter(deleted_at=None)


class Check(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="checks")
    project = models.ForeignKey(Project, models.CASCADE, related_name="checks")
    resource = models.ForeignKey(Resource, models.CASCADE, related_name="checks")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20)
    target = models.CharField(max_length=2000)
    options = models.JSONField(default=dict)
    secrets = EncryptedJSONField(null=True)
    """The options that the kind declares secret; the others are in `options`."""
    interval_s = models.IntegerField(default=60)
    timeout_s = models.IntegerField(default=10)
    degraded_ms = models.IntegerField(null=True)
    retries = models.SmallIntegerField(default=0)
    """Number of additional attempts within a run."""
    fail_after = models.SmallIntegerField(default=1)
    recover_after = models.SmallIntegerField(default=1)
    quorum = models.SmallIntegerField(null=True)
    region_ids = ArrayField(models.SmallIntegerField())
    ping_secret = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    """Part of a heartbeat's ping URL: whoever knows it can report the job as failed or finished."""
    is_paused = models.BooleanField(default=False)
    revision = models.IntegerField(default=1)
    """Incremented when something that the probe or the machine reads changes; runs of other revisions are ignored."""
    since_ms = models.BigIntegerField()
    """Regular slots before this (epoch ms) do not belong to the current revision."""
    phase_ms = models.IntegerField()
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    objects = CheckQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(interval_s__gte=MIN_INTERVAL_S, interval_s__lte=MAX_INTERVAL_S), name="check_interval_in_bounds"
            ),
            models.CheckConstraint(
                condition=Q(timeout_s__gte=1, timeout_s__lte=F("interval_s")) & Q(timeout_s__lte=MAX_TIMEOUT_S),
                name="check_timeout_in_interval",
            ),
            models.CheckConstraint(
                condition=Q(fail_after__gte=1, recover_after__gte=1, retries__gte=0), name="check_counts_positive"
            ),
            models.CheckConstraint(condition=Q(quorum=None) | Q(quorum__gte=1), name="check_quorum_positive"),
            models.CheckConstraint(condition=Q(region_ids__len__gte=1), name="check_has_a_region"),
            models.UniqueConstraint(
                "project",
                KeyTextTransform("slug", "options"),
                condition=Q(kind="heartbeat", deleted_at=None) & ~Q(options__slug=""),
                name="check_slug_unique",
            ),
            models.CheckConstraint(
                condition=Q(phase_ms__gte=0) & Q(phase_ms__lt=F("interval_s") * 1000), name="check_phase_in_interval"
            ),
        ]
        indexes = [
            # list of an organization or a project, newest first
            models.Index(fields=["organization", "-created_at", "id"], condition=Q(deleted_at=None), name="check_list"),
            models.Index(fields=["project", "-created_at", "id"], condition=Q(deleted_at=None), name="check_project_list"),
            models.Index(fields=["project", "name", "id"], condition=Q(deleted_at=None), name="check_by_name"),  # the dashboard's
            # project summary: an index-only scan of all checks of a project
            models.Index(
                fields=["project", "id"],
                include=["resource", "is_paused", "timeout_s", "revision"],
                condition=Q(deleted_at=None),
                name="check_standing",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def interval_ms(self) -> int:
        return self.interval_s * 1000

    @property
    def timeout_ms(self) -> int:
        return self.timeout_s * 1000


class Pause(models.Model):
    """A span of time in which a check was paused. The last pause of a paused check is open."""

    check_row = models.ForeignKey(Check, models.CASCADE, related_name="pauses")
    from_ms = models.BigIntegerField()
    until_ms = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["check_row"], condition=Q(until_ms=None), name="pause_open_once"),
            models.CheckConstraint(condition=Q(until_ms=None) | Q(until_ms__gte=F("from_ms")), name="pause_is_a_span"),
        ]
        indexes = [models.Index(fields=["check_row", "from_ms"], name="pause_by_check")]  # uptime of one check

    def __str__(self) -> str:
        return f"{self.from_ms}–{self.until_ms or ''}"


class BeatLease(models.Model):
    """A single row: which beat process sends, and until when by the database's clock."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    holder = models.CharField(max_length=40)
    until = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="beatlease_single")]

    def __str__(self) -> str:
        return f"{self.holder} until {self.until}"


class DispatchCursor(models.Model):
    """A single row: slots up to here have been sent. Its lock serializes ticks and edits."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    sent_until_ms = models.BigIntegerField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="dispatchcursor_single")]

    def __str__(self) -> str:
        return str(self.sent_until_ms)
