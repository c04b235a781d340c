"""What was seen. Keyed by check, which carries the organization: a tenant id in every run would cost a tenth of the table."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.core.crypto import EncryptedJSONField
from apps.orgs.models import Organization, Project

HEALTHS = ("unknown", "up", "degraded", "down")
VERDICTS = ("unknown", "up", "degraded", "down")
"""Stored as their index."""
GOOD = ("up", "degraded")
"""Verdicts of runs whose latency counts."""
UNTIMED = -1
"""The duration of a run that nobody timed: a ping without a start."""


class CheckRun(models.Model):
    """One execution. Partitioned by slot, a day each; written in bulk by `services.record`, never updated."""

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
    reason = models.TextField(null=True)  # noqa: DJ001  # a run that is up spends no byte on it
    facts = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "check_runs"

    def __str__(self) -> str:
        return f"{self.check_id} {self.slot} {self.region_id}"


class PackedRuns(models.Model):
    """The runs of a check in a region within an hour or a day, older than the partitions that are kept. See `packing`."""

    pk = models.CompositePrimaryKey("check_id", "start", "region_id")
    check_id = models.UUIDField()
    start = models.BigIntegerField()
    region_id = models.SmallIntegerField()
    last = models.BigIntegerField()
    """The slot of the last of them."""
    count = models.IntegerField()
    verdicts = models.SmallIntegerField()
    """A bit for each verdict among them."""
    data = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.check_id} {self.start} {self.region_id}: {self.count}"


class PackCursor(models.Model):
    """How far the oldest partition has been packed: one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    day = models.BigIntegerField(null=True)
    """The start of the partition under way."""
    after = models.UUIDField(null=True)
    """Its checks up to this one are packed."""
    packed = models.BigIntegerField(default=0)
    """Its runs that are packed: all of them must be before it is dropped."""

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="packcursor_single")]

    def __str__(self) -> str:
        return f"{self.day} after {self.after}"


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


class Rollup(models.Model):
    """The runs of a check in a region within a span: counts by verdict, and a latency histogram whose buckets merge."""

    pk = models.CompositePrimaryKey("check_id", "start", "region_id")
    check_id = models.UUIDField()
    start = models.BigIntegerField()
    region_id = models.SmallIntegerField()
    unknown = models.IntegerField()
    up = models.IntegerField()
    degraded = models.IntegerField()
    down = models.IntegerField()
    buckets = ArrayField(models.SmallIntegerField())
    """Of `histogram.bucket_of`, of runs that were good; one may stand twice."""
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
    """Milliseconds of a whole day that a check was shown in each state: of its intervals, nothing laid over them."""

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
    """How far the runs have been rolled up: every span before `done_until`, and of the one at it the checks up to `after`."""

    span = models.CharField(max_length=4, primary_key=True)
    done_until = models.BigIntegerField()
    after = models.UUIDField(null=True)

    def __str__(self) -> str:
        return f"{self.span} until {self.done_until}"


class LateHour(models.Model):
    """A check's hour that got runs after it may have been rolled up: it is rolled up again."""

    pk = models.CompositePrimaryKey("check_id", "start")
    check_id = models.UUIDField()
    start = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.check_id} {self.start}"


class Baseline(models.Model):
    """What a region saw last of a check that tells of changes."""

    pk = models.CompositePrimaryKey("check_id", "region_id")
    check_id = models.UUIDField()
    region_id = models.SmallIntegerField()
    revision = models.IntegerField()
    slot = models.BigIntegerField()
    value = models.JSONField()

    def __str__(self) -> str:
        return f"{self.check_id} {self.region_id}"


class Ping(models.Model):
    """A signal that a passive check heard. The newest of each check stay: a new one takes the oldest one's place."""

    pk = models.CompositePrimaryKey("check_id", "place")
    check_id = models.UUIDField()
    place = models.SmallIntegerField()
    number = models.IntegerField()
    """Counts the check's pings."""
    at_ms = models.BigIntegerField()
    signal = models.CharField(max_length=8)
    rid = models.CharField(max_length=36)
    exit_code = models.SmallIntegerField(null=True)
    runtime_ms = models.BigIntegerField(null=True)
    others = models.SmallIntegerField()
    """Further runs that had begun and not ended."""
    method = models.CharField(max_length=8)
    agent = models.CharField(max_length=200)
    address = models.CharField(max_length=45)
    body = models.TextField()

    def __str__(self) -> str:
        return f"{self.check_id} #{self.number} {self.signal}"


class Trial(models.Model):
    """A check tried before it is saved. Kept for an hour; steps nothing."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20)
    target = models.CharField(max_length=2000)
    options = EncryptedJSONField()
    """All of them, the secret ones too: sealed again for each region."""
    timeout_s = models.IntegerField()
    retries = models.SmallIntegerField(default=0)
    region_ids = ArrayField(models.SmallIntegerField())
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="trial_age")]  # retention

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


class TrialAnswer(models.Model):
    """What one region saw."""

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
    """A message, a row or a check that could not be worked on, kept for operators."""

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
    """What it was, as text safe to store."""
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["-created_at"], name="deadletter_newest")]

    def __str__(self) -> str:
        return f"{self.origin}: {self.error[:60]}"
