"""The state of each check, incidents, and the outbox of incident events."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from apps.monitors.models import Check
from apps.orgs.models import Organization, Project, User


class Severity(models.TextChoices):
    WARN = "warn"
    DOWN = "down"


class CheckState(models.Model):
    """The stored `machine.State` of a check: one row, created with it. Commands on the check lock this row first."""

    check_row = models.OneToOneField(Check, models.CASCADE, primary_key=True, related_name="state")
    due = models.BigIntegerField()
    slot = models.BigIntegerField()
    level = models.SmallIntegerField(default=0)
    streaks = ArrayField(models.BigIntegerField(null=True))
    """Flat list of (count, first slot) for the streaks down, bad, ok and clean."""
    counted = models.BigIntegerField(null=True)
    opened = models.BigIntegerField(null=True)
    opened_by = models.SmallIntegerField(default=0)
    last_notified = models.SmallIntegerField(default=0)
    status = models.CharField(max_length=10, default="pending")
    since = models.BigIntegerField()
    """When the check entered this status (epoch ms)."""
    own = models.SmallIntegerField(null=True)
    shown = models.SmallIntegerField(null=True)
    """`own` and `shown` are the healths of the latest state interval: a round that repeats them writes no interval."""
    extras = ArrayField(models.BigIntegerField(), default=list)
    deadline = models.BigIntegerField(null=True)
    """Copy of `due` if a passive check waits for something: the column that the sweep looks up."""
    wait = models.JSONField(null=True)
    """The `HeartbeatState` of a passive check, as JSON."""
    pings = models.IntegerField(default=0)
    """Number of pings that a passive check has received."""
    reason = models.TextField(blank=True)
    message = models.TextField(blank=True)
    last_notified_incident = models.ForeignKey("Incident", models.SET_NULL, null=True, related_name="+")
    event_seq = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(due__gt=F("slot")), name="checkstate_due_after_slot"),
            models.CheckConstraint(
                condition=Q(level=0, opened=None) | Q(level__gt=0, opened__isnull=False), name="checkstate_open_with_level"
            ),
            models.CheckConstraint(condition=Q(level__range=(0, 2), last_notified__range=(0, 2)), name="checkstate_levels_known"),
            models.CheckConstraint(condition=Q(streaks__len=8), name="checkstate_four_streaks"),
            models.CheckConstraint(condition=Q(deadline=None) | Q(deadline=F("due")), name="checkstate_deadline_is_due"),
        ]
        indexes = [
            # the sweep for missed deadlines; active checks have none, so their updates touch no index (HOT)
            models.Index(fields=["deadline"], condition=Q(deadline__isnull=False), name="checkstate_deadline"),
        ]

    def __str__(self) -> str:
        return f"{self.check_row_id} {self.status}"


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> IncidentQuerySet:
        """Return the incidents that are not resolved, acknowledged or not."""
        return self.exclude(status=Incident.Status.RESOLVED)


class Incident(models.Model):
    class Status(models.TextChoices):
        OPEN = "open"
        ACKNOWLEDGED = "acknowledged"
        RESOLVED = "resolved"

    class Source(models.TextChoices):
        MACHINE = "machine"
        PERSON = "person"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="incidents")
    project = models.ForeignKey(Project, models.CASCADE, related_name="incidents")
    check_row = models.ForeignKey(Check, models.CASCADE, null=True, related_name="incidents")
    source = models.CharField(max_length=8, choices=Source.choices, default=Source.MACHINE)
    title = models.CharField(max_length=300)
    severity = models.CharField(max_length=4, choices=Severity.choices)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.OPEN)
    started_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    downtime_ms = models.BigIntegerField(default=0)
    """Total of the time shown as down; computed when the incident is resolved."""
    reason = models.TextField(blank=True)
    message = models.TextField(blank=True)
    resolution = models.TextField(blank=True)
    """Why it ended if the check did not recover: `check_deleted` or `person`."""
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    objects = IncidentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["check_row"], condition=Q(source="machine") & ~Q(status="resolved"), name="incident_machine_open_once"
            ),
            models.CheckConstraint(
                condition=Q(status="resolved", resolved_at__isnull=False) | (~Q(status="resolved") & Q(resolved_at=None)),
                name="incident_resolved_has_time",
            ),
            models.CheckConstraint(
                condition=Q(resolved_at=None) | Q(resolved_at__gte=F("started_at")), name="incident_is_a_span"
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-started_at", "id"], name="incident_list"),  # list, newest first
            models.Index(fields=["check_row", "-started_at"], name="incident_by_check"),  # a check's history
            models.Index(fields=["project", "-started_at"], name="incident_by_project"),  # a project's list, newest first
            # open incidents: the overview and the count in the menu
            models.Index(fields=["project"], condition=~Q(status="resolved"), name="incident_open"),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.status})"

    @property
    def reason_pair(self) -> tuple[str, str]:
        return self.reason, self.message

    @property
    def length_s(self) -> float | None:
        """Return the duration in seconds; None while the incident is open."""
        return (self.resolved_at - self.started_at).total_seconds() if self.resolved_at else None


class IncidentUpdate(models.Model):
    """A person's note on an incident, for the team only or for the public status page as well."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="updates")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    text = models.TextField(max_length=5000)
    is_public = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["incident", "created_at"], name="incidentupdate_timeline")]  # an incident's page

    def __str__(self) -> str:
        return self.text[:60]


class IncidentEvent(models.Model):
    """The outbox: a notification to be sent, written in one transaction with the state. `seq` counts per check."""

    class Kind(models.TextChoices):
        OPENED = "incident.opened"
        WORSENED = "incident.worsened"
        RESOLVED = "incident.resolved"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    check_row = models.ForeignKey(Check, models.CASCADE, related_name="events")
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="events")
    seq = models.IntegerField()
    kind = models.CharField(max_length=24, choices=Kind.choices)
    payload = models.JSONField()
    """The facts at the time of the event: a message sent later still reports what was true then."""
    created_at = models.DateTimeField()
    expanded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["check_row", "seq"], name="incidentevent_seq_unique")]
        indexes = [
            models.Index(fields=["created_at"], condition=Q(expanded_at=None), name="incidentevent_waiting"),  # expand, sweep
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.seq}"
