"""Writes to channels: create, change, test and delete."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.core.errors import FieldError
from apps.core.throttle import Limit
from apps.core.wake import wake
from apps.notifications.masking import masked_config
from apps.notifications.models import Channel, Delivery
from apps.notifications.registry import CHANNEL_KINDS
from apps.notifications.services.addresses import ask_for_confirmation
from apps.notifications.services.deliveries import DELIVER_TASK
from apps.orgs.actors import Actor
from apps.orgs.audit import changes_of, record_audit_entry
from apps.orgs.models import Project

CHANNEL_TESTS = Limit("channel-test", 20)
"""Tests per minute and project: a test reaches third parties, and must not make us a relay."""


@transaction.atomic
def create_channel(
    *, actor: Actor, project: Project, name: str, kind: str, config: Mapping[str, Any], now: datetime, is_enabled: bool = True
) -> Channel:
    """Create a channel and queue the confirmation of its addresses. Raises FieldError."""
    if kind not in CHANNEL_KINDS:
        raise FieldError("kind", f"is not one of {', '.join(sorted(CHANNEL_KINDS))}")
    kept = CHANNEL_KINDS[kind].parse(config)
    channel = Channel.objects.create(
        organization_id=project.organization_id, project=project, name=name, kind=kind, config=kept, is_enabled=is_enabled
    )
    ask_for_confirmation(channel=channel, now=now)
    record_audit_entry(actor=actor, action="channel.created", subject=channel, now=now, after=_audited(channel))
    return channel


@transaction.atomic
def change_channel(
    *, actor: Actor, channel: Channel, name: str, config: Mapping[str, Any], is_enabled: bool, now: datetime
) -> Channel:
    """Replace a channel's name, config and enabled flag. Raises FieldError."""
    before = _audited(channel)
    channel.name, channel.is_enabled = name, is_enabled
    channel.config = CHANNEL_KINDS[channel.kind].parse(config)
    channel.save(update_fields=["name", "config", "is_enabled"])
    ask_for_confirmation(channel=channel, now=now)
    differs = changes_of(before, _audited(channel))
    record_audit_entry(actor=actor, action="channel.changed", subject=channel, now=now, before=differs[0], after=differs[1])
    return channel


@transaction.atomic
def delete_channel(*, actor: Actor, channel: Channel, now: datetime) -> None:
    """Mark a channel as deleted. Its deliveries stay readable; pending ones become dead."""
    Channel.objects.filter(pk=channel.pk).update(deleted_at=now, is_enabled=False)
    waiting = Delivery.objects.filter(channel=channel, status=Delivery.Status.PENDING)
    waiting.update(status=Delivery.Status.DEAD, finished_at=now, error="the channel was deleted")
    record_audit_entry(actor=actor, action="channel.deleted", subject=channel, now=now)


@transaction.atomic
def send_test(*, actor: Actor, channel: Channel, now: datetime) -> Delivery:
    """Create a test delivery, which is sent like any other."""
    delivery = Delivery.objects.create(
        organization_id=channel.organization_id,
        channel=channel,
        kind="channel.test",
        payload={
            "organization": {"id": str(channel.organization_id), "name": channel.organization.name},
            "project": {"id": str(channel.project_id), "name": channel.project.name},
            "resource": None,
            "check": None,
            "incident": None,
            "reason": None,
            "url": None,
        },
        next_attempt_at=now,
        created_at=now,
    )
    wake(DELIVER_TASK, delivery=str(delivery.id))
    record_audit_entry(actor=actor, action="channel.tested", subject=channel, now=now)
    return delivery


def _audited(channel: Channel) -> dict[str, Any]:
    config = masked_config(CHANNEL_KINDS[channel.kind], channel.config, is_admin=False)
    return {"name": channel.name, "kind": channel.kind, "is_enabled": channel.is_enabled, "config": config}
