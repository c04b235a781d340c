"""Results of probes: runs and what is derived from them.

Rows are keyed by check, which has the organization: a tenant id in each run would add a tenth to the table.
"""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.core.crypto import EncryptedJSONField
from apps.orgs.models import Organization, Project

HEALTHS = ("unknown", "up", "degraded", "down")
VERDICTS = ("unknown", "up", "degraded", "down")
"""Healths and verdicts are stored as their index."""
GOOD = ("up", "degraded")
"""Verdicts of runs whose latency counts."""
UNTIMED = -1
"""The duration of a run that was not timed, such as a ping without a start."""


class CheckRun(models.Model):
    """One execution of a check in a region. Partitioned by day of the slot, inserted in bulk, never updated."""

    pk = models.CompositePrimaryKey("check_id", "slot", "region_id")
    check_id = models.UUIDField()
    slot = models.BigIntegerField()
    revision = models.IntegerField()
    started_after_ms = models.SmallIntegerField()
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
    reason = models.TextField(null=True)  # noqa: DJ001  # NULL takes no space in the many rows that are up
    facts = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "check_runs"

    def __str__(self) -> str:
        return f"{self.check_id} {self.slot} {self.region_id}"


class PackedRuns(models.Model):
    """Runs of a check in a region within an hour or a day, packed so that their partition can be dropped.

    See `packing`.
    """

    pk = models.CompositePrimaryKey("check_id", "start", "region_id")
    check_id = models.UUIDField()
    start = models.BigIntegerField()
    region_id = models.SmallIntegerField()
    last = models.BigIntegerField()
    """The slot of the newest run."""
    count = models.IntegerField()
    verdicts = models.SmallIntegerField()
    """Bit mask of the verdicts that occur, by index in VERDICTS."""
    data = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.check_id} {self.start} {self.region_id}: {self.count}"


class PackCursor(models.Model):
    """Progress of packing the oldest partition; a single row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    day = models.BigIntegerField(null=True)
    """Start of the partition that is being packed (epoch ms)."""
    after = models.UUIDField(null=True)
    """The checks up to this id are packed."""
    packed = models.BigIntegerField(default=0)
    """Number of the partition's runs packed so far; it is dropped only when all are."""

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="packcursor_single")]

    def __str__(self) -> str:
        return f"{self.day} after {self.after}"


class Certificate(models.Model):
    """A leaf certificate, stored once and referenced by the runs that saw it."""

    id = models.AutoField(primary_key=True)
    fingerprint = models.CharField(max_length=64, unique=True)
    facts = models.JSONField()
    first_seen_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.fingerprint[:16]


class StateInterval(models.Model):
    """The state of a check from `start` to its next row or, for the last row, to the first slot that is not settled."""

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
            # Unknown time is never shown as down.
            models.CheckConstraint(
                condition=models.Q(own=0, shown=0) | (models.Q(own__gt=0, shown__gt=0)), name="stateinterval_unknown_is_unknown"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.check_id} {self.start} {HEALTHS[self.shown]}"


class Rollup(models.Model):
    """Runs of a check in a region within a span: counts by verdict, and a latency histogram that can be merged."""

    pk = models.CompositePrimaryKey("check_id", "start", "region_id")
    check_id = models.UUIDField()
    start = models.BigIntegerField()
    region_id = models.SmallIntegerField()
    unknown = models.IntegerField()
    up = models.IntegerField()
    degraded = models.IntegerField()
    down = models.IntegerField()
    buckets = ArrayField(models.SmallIntegerField())
    """`histogram.bucket_of` of up and degraded runs; a bucket may occur twice."""
    numbers = ArrayField(models.IntegerField())

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.check_id} {self.start} {self.region_id}"


class HourRollup(Rollup):
    class Meta:
        indexes = [models.Index(fields=["start"], name="hourrollup_age")]  # retention


class DayRollup(Rollup):
    class Meta:
        indexes = [models.Index(fields=["start"], name="dayrollup_age")]  # retention


class DaySum(models.Model):
    """Milliseconds that a check was shown in each state on a day, from its intervals alone: pauses are ignored."""

    pk = models.CompositePrimaryKey("check_id", "day")
    check_id = models.UUIDField()
    day = models.BigIntegerField()
    unknown = models.IntegerField()
    up = models.IntegerField()
    degraded = models.IntegerField()
    down = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.check_id} {self.day}"


class RollupCursor(models.Model):
    """Progress of a rollup: spans before `done_until` are done; in the span that begins there, checks up to `after`.

    `incidents.services.sums` keeps the progress of its hourly round here as well.
    """

    span = models.CharField(max_length=4, primary_key=True)
    done_until = models.BigIntegerField()
    after = models.UUIDField(null=True)

    def __str__(self) -> str:
        return f"{self.span} until {self.done_until}"


class LateHour(models.Model):
    """An hour of a check that received runs after it may have been rolled up; it will be rolled up again."""

    pk = models.CompositePrimaryKey("check_id", "start")
    check_id = models.UUIDField()
    start = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.check_id} {self.start}"


class Baseline(models.Model):
    """What a region last saw of a check that reports changes (`notice_change`)."""

    pk = models.CompositePrimaryKey("check_id", "region_id")
    check_id = models.UUIDField()
    region_id = models.SmallIntegerField()
    revision = models.IntegerField()
    slot = models.BigIntegerField()
    value = models.JSONField()

    def __str__(self) -> str:
        return f"{self.check_id} {self.region_id}"


class Ping(models.Model):
    """A signal that a passive check received. The newest of each check are kept: a new one overwrites the oldest."""

    pk = models.CompositePrimaryKey("check_id", "place")
    check_id = models.UUIDField()
    place = models.SmallIntegerField()
    number = models.IntegerField()
    """Sequence number among the check's pings; `place` is derived from it."""
    at_ms = models.BigIntegerField()
    signal = models.CharField(max_length=8)
    rid = models.CharField(max_length=36)
    exit_code = models.SmallIntegerField(null=True)
    runtime_ms = models.BigIntegerField(null=True)
    others = models.SmallIntegerField()
    """Other runs that had started and not finished."""
    method = models.CharField(max_length=8)
    agent = models.CharField(max_length=200)
    address = models.CharField(max_length=45)
    body = models.TextField()

    def __str__(self) -> str:
        return f"{self.check_id} #{self.number} {self.signal}"


class Trial(models.Model):
    """A test run of a check before it is saved. Kept for an hour; it does not affect any state."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20)
    target = models.CharField(max_length=2000)
    options = EncryptedJSONField()
    """All options including secret ones, which are encrypted again for each region."""
    timeout_s = models.IntegerField()
    retries = models.SmallIntegerField(default=0)
    region_ids = ArrayField(models.SmallIntegerField())
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="trial_age")]  # retention

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


class TrialAnswer(models.Model):
    """The result of a trial in one region."""

    trial = models.ForeignKey(Trial, models.CASCADE, related_name="answers")
    region_id = models.SmallIntegerField()
    verdict = models.CharField(max_length=10)
    reason = models.TextField(blank=True)
    message = models.TextField(blank=True)
    duration_ms = models.IntegerField()
    facts = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["trial", "region_id"], name="trialanswer_once")]

    def __str__(self) -> str:
        return f"{self.trial_id} {self.region_id} {self.verdict}"


class DeadLetter(models.Model):
    """A message, row or check that could not be processed, kept for operators."""

    class Origin(models.TextChoices):
        MESSAGE = "message"
        ROW = "row"
        EVALUATION = "evaluation"
        PROBE = "probe"

    origin = models.CharField(max_length=12, choices=Origin.choices)
    region = models.CharField(max_length=40, blank=True)
    check_id = models.UUIDField(null=True)
    error = models.TextField()
    content = models.TextField()
    """The original content, as text that PostgreSQL can store."""
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["-created_at"], name="deadletter_newest")]

    def __str__(self) -> str:
        return f"{self.origin}: {self.error[:60]}"
