"""Notification channels, the confirmation of their e-mail addresses, and deliveries."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from apps.core.crypto import EncryptedJSONField
from apps.incidents.models import IncidentEvent
from apps.monitors.models import Check
from apps.orgs.models import Organization, Project


class ChannelQuerySet(models.QuerySet["Channel"]):
    def live(self) -> ChannelQuerySet:
        """Those that were not deleted."""
        return self.filter(deleted_at=None)


class Channel(models.Model):
    """A destination for notifications. It gets the events of every check of its project."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="channels")
    project = models.ForeignKey(Project, models.CASCADE, related_name="channels")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20)
    config = EncryptedJSONField()
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        indexes = [
            # list, newest first
            models.Index(fields=["organization", "-created_at", "id"], condition=Q(deleted_at=None), name="channel_list"),
        ]

    def __str__(self) -> str:
        return self.name


class ChannelAddress(models.Model):
    """An e-mail address in an organization's channels. It gets no messages until its owner confirms it by a link."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="channel_addresses")
    address = models.EmailField(max_length=254)
    token = models.CharField(max_length=64, unique=True)
    mailed_at = models.DateTimeField(null=True)
    """When the confirmation link was sent, which happens once."""
    confirmed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "address"], name="channeladdress_once")]
        indexes = [
            # sweep: confirmation links not sent yet
            models.Index(fields=["id"], condition=Q(mailed_at=None, confirmed_at=None), name="channeladdress_waiting")
        ]

    def __str__(self) -> str:
        return self.address


class Delivery(models.Model):
    """One message to one channel. Sent at least once, in the order of its check's events."""

    class Status(models.TextChoices):
        PENDING = "pending"
        SENDING = "sending"
        SENT = "sent"
        DEAD = "dead"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    """Also the idempotency key that the receiver sees."""
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(IncidentEvent, models.CASCADE, related_name="deliveries", null=True)
    check_row = models.ForeignKey(Check, models.CASCADE, related_name="+", null=True)
    seq = models.IntegerField(default=0)
    kind = models.CharField(max_length=24)
    payload = models.JSONField()
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    attempts = models.SmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    woken_at = models.DateTimeField(null=True)
    """When a task for it was last queued, so that the sweep does not queue another at every pass."""
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["event", "channel"], name="delivery_event_channel_unique"),
            models.CheckConstraint(
                condition=~Q(status="sending") | Q(lease_until__isnull=False), name="delivery_sending_has_lease"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["sent", "dead"], finished_at__isnull=False)
                | (~Q(status__in=["sent", "dead"]) & Q(finished_at=None)),
                name="delivery_finished_has_time",
            ),
        ]
        indexes = [
            # sweep: unfinished deliveries, oldest first
            models.Index(fields=["next_attempt_at"], condition=Q(status__in=["pending", "sending"]), name="delivery_waiting"),
            # claim: looks for an unfinished earlier delivery of the same check and channel
            models.Index(
                fields=["check_row", "channel", "seq"], condition=Q(status__in=["pending", "sending"]), name="delivery_order"
            ),
            models.Index(fields=["organization", "-created_at", "id"], name="delivery_list"),  # list, newest first
            models.Index(fields=["channel", "-created_at"], name="delivery_of_channel"),  # newest of each channel
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.channel_id} ({self.status})"

    @property
    def project_id(self) -> uuid.UUID:
        return self.channel.project_id
