"""What was seen. Keyed by check, which carries the organization: a tenant id in every run would cost a tenth of the table."""

from __future__ import annotations

from django.db import models

HEALTHS = ("unknown", "up", "degraded", "down")
VERDICTS = ("unknown", "up", "degraded", "down")
"""Stored as their index."""


class CheckRun(models.Model):
    """One execution. Partitioned by slot, a day each; written in bulk by `services.record`, never updated."""

    pk = models.CompositePrimaryKey("check_id", "slot", "region_id")
    check_id = models.UUIDField()
    slot = models.BigIntegerField()
    revision = models.IntegerField()
    started_after_ms = models.IntegerField()
    duration_ms = models.IntegerField()
    recorded_after_s = models.IntegerField()
    certificate_id = models.IntegerField(null=True)
    dns_ms = models.FloatField(null=True)
    connect_ms = models.FloatField(null=True)
    tls_ms = models.FloatField(null=True)
    first_byte_ms = models.FloatField(null=True)
    region_id = models.SmallIntegerField()
    verdict = models.SmallIntegerField()
    code = models.SmallIntegerField(null=True)
    reason = models.TextField(null=True)  # noqa: DJ001  # a run that is up spends no byte on it
    facts = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "check_runs"

    def __str__(self) -> str:
        return f"{self.check_id} {self.slot} {self.region_id}"


class Certificate(models.Model):
    """A leaf certificate once seen, referenced by the runs that saw it."""

    id = models.AutoField(primary_key=True)
    fingerprint = models.CharField(max_length=64, unique=True)
    facts = models.JSONField()
    first_seen_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.fingerprint[:16]


class StateInterval(models.Model):
    """From `start` to the next row of the check, or to the check's first slot that is not settled."""

    pk = models.CompositePrimaryKey("check_id", "start")
    check_id = models.UUIDField()
    start = models.BigIntegerField()
    own = models.SmallIntegerField()
    shown = models.SmallIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(own__gte=0, own__lte=3, shown__gte=0, shown__lte=3), name="stateinterval_health_known"
            ),
            # What nobody saw is never painted.
            models.CheckConstraint(
                condition=models.Q(own=0, shown=0) | (models.Q(own__gt=0, shown__gt=0)), name="stateinterval_unknown_is_unknown"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.check_id} {self.start} {HEALTHS[self.shown]}"


class DeadLetter(models.Model):
    """A message, a row or a check that could not be worked on, kept for operators."""

    class Origin(models.TextChoices):
        MESSAGE = "message"
        ROW = "row"
        EVALUATION = "evaluation"

    origin = models.CharField(max_length=12, choices=Origin.choices)
    region = models.CharField(max_length=40, blank=True)
    check_id = models.UUIDField(null=True)
    error = models.TextField()
    content = models.TextField()
    """What it was, as text safe to store."""
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["-created_at"], name="deadletter_newest")]

    def __str__(self) -> str:
        return f"{self.origin}: {self.error[:60]}"
