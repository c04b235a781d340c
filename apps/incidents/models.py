"""What it means: the machine's state of each check, incidents, and the outbox of their events."""

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
    """The machine's frozen state of a check (`machine.State`), one row, made with the check. Its lock orders all acts on it."""

    check_row = models.OneToOneField(Check, models.CASCADE, primary_key=True, related_name="state")
    due = models.BigIntegerField()
    slot = models.BigIntegerField()
    level = models.SmallIntegerField(default=0)
    streaks = ArrayField(models.BigIntegerField(null=True))
    """(count, first slot) of down, bad, ok, clean, flat."""
    counted = models.BigIntegerField(null=True)
    opened = models.BigIntegerField(null=True)
    opened_by = models.SmallIntegerField(default=0)
    told = models.SmallIntegerField(default=0)
    status = models.CharField(max_length=10, default="pending")
    since = models.BigIntegerField()
    """From when the status has held."""
    own = models.SmallIntegerField(null=True)
    shown = models.SmallIntegerField(null=True)
    """The healths of the check's last state interval: a steady check writes no interval."""
    extras = ArrayField(models.BigIntegerField(), default=list)
    deadline = models.BigIntegerField(null=True)
    """Of a passive check that waits for something: its `due`, for the sweep to look up."""
    wait = models.JSONField(null=True)
    """`passive.Wait` of a passive check."""
    pings = models.IntegerField(default=0)
    """How many a passive check has heard."""
    reason = models.TextField(blank=True)
    message = models.TextField(blank=True)
    told_incident = models.ForeignKey("Incident", models.SET_NULL, null=True, related_name="+")
    event_seq = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(due__gt=F("slot")), name="checkstate_due_after_slot"),
            models.CheckConstraint(
                condition=Q(level=0, opened=None) | Q(level__gt=0, opened__isnull=False), name="checkstate_open_with_level"
            ),
            models.CheckConstraint(condition=Q(level__range=(0, 2), told__range=(0, 2)), name="checkstate_levels_known"),
            models.CheckConstraint(condition=Q(streaks__len=8), name="checkstate_four_streaks"),
            models.CheckConstraint(condition=Q(deadline=None) | Q(deadline=F("due")), name="checkstate_deadline_is_due"),
        ]
        indexes = [
            # passive checks whose deadline has passed; without those that have none, an active check's update stays in its page
            models.Index(fields=["deadline"], condition=Q(deadline__isnull=False), name="checkstate_deadline"),
        ]

    def __str__(self) -> str:
        return f"{self.check_row_id} {self.status}"


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
    """Of its down intervals; counted when it is resolved."""
    reason = models.TextField(blank=True)
    message = models.TextField(blank=True)
    resolution = models.TextField(blank=True)
    """Why it ended, when not by recovery: `check_deleted`, or a person's act."""
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

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
            # what is open now: the overview, the count in the menu
            models.Index(fields=["project"], condition=~Q(status="resolved"), name="incident_open"),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.status})"

    @property
    def length_s(self) -> float | None:
        """From start to end; None while it goes on."""
        return (self.resolved_at - self.started_at).total_seconds() if self.resolved_at else None


class IncidentUpdate(models.Model):
    """What a person wrote to an incident: for the team, or for the public page too."""

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
    """The outbox: what people are to be told, written with the state that it tells of. `seq` counts per check."""

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
    """The facts as they were; a message sent later tells what was true then."""
    created_at = models.DateTimeField()
    expanded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["check_row", "seq"], name="incidentevent_seq_unique")]
        indexes = [
            models.Index(fields=["created_at"], condition=Q(expanded_at=None), name="incidentevent_waiting"),  # expand, sweep
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.seq}"
