"""Expansion of the outbox: each incident event becomes one delivery per channel that is to be notified."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef

from apps.core.wake import wake
from apps.incidents.models import CheckState, IncidentEvent
from apps.notifications.models import Channel, Delivery
from apps.notifications.selectors import opening_deliveries
from apps.notifications.services.deliveries import DELIVER_TASK

log = logging.getLogger(__name__)

_MAY_HAVE_ARRIVED = (Delivery.Status.PENDING, Delivery.Status.SENDING, Delivery.Status.SENT)


def expand_waiting(*, now: datetime) -> int:
    """Expand every event that was not expanded yet, oldest first. Returns their number."""
    waiting = IncidentEvent.objects.filter(expanded_at=None).order_by("created_at", "seq")
    checks = list(dict.fromkeys(waiting.values_list("check_row_id", flat=True)[:1_000]))
    expanded = 0
    for check_id in checks:
        try:
            expanded += expand_check(check_id=check_id, now=now)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("the events of check %s could not be expanded, the others go on", check_id)
    return expanded


@transaction.atomic
def expand_check(*, check_id: uuid.UUID, now: datetime) -> int:
    """Expand a check's events in order, under its state row's lock: none can overtake. Returns their number."""
    CheckState.objects.select_for_update().get(check_row_id=check_id)
    events = list(
        IncidentEvent.objects.filter(check_row_id=check_id, expanded_at=None).select_related("incident").order_by("seq")
    )
    for event in events:
        _expand(event, now)
    return len(events)


def _expand(event: IncidentEvent, now: datetime) -> None:
    channels = Channel.objects.live().filter(project_id=event.incident.project_id, is_enabled=True)
    if event.kind == IncidentEvent.Kind.RESOLVED:
        # A channel that was not notified of the opening is not notified of the resolve.
        may_hear = opening_deliveries(incident_id=event.incident_id, statuses=_MAY_HAVE_ARRIVED)
        channels = channels.filter(Exists(may_hear.filter(channel=OuterRef("pk"))))
    deliveries = [
        Delivery(
            organization_id=event.organization_id,
            channel=channel,
            event=event,
            check_row_id=event.check_row_id,
            seq=event.seq,
            kind=event.kind,
            payload=event.payload,
            next_attempt_at=now,
            created_at=now,
            woken_at=now,
        )
        for channel in channels
    ]
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)
    IncidentEvent.objects.filter(pk=event.pk).update(expanded_at=now)
    for delivery in deliveries:
        wake(DELIVER_TASK, delivery=str(delivery.id))
