"""From the outbox to the receiver: expand events into deliveries, claim one, send it, note what came of it."""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from apps.core.wake import wake
from apps.incidents.models import CheckState, IncidentEvent
from apps.incidents.payloads import timestamp
from apps.notifications.contract import Message, SendError
from apps.notifications.models import Channel, Delivery
from apps.notifications.registry import CHANNEL_KINDS
from apps.orgs.models import Project

log = logging.getLogger(__name__)

DELIVER_TASK = "pipeline.deliver"
MAX_ATTEMPTS = 12
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 4.0, 3_600.0
SENDERS_PER_CHANNEL = 2
"""A receiver that hangs must not hold every sender."""
_WAKE_AGAIN = timedelta(seconds=6)
_UNFINISHED = (Delivery.Status.PENDING, Delivery.Status.SENDING)


class UnknownKindError(ValueError):
    """No channel of that kind."""


# --- channels


def create_channel(*, project: Project, name: str, kind: str, config: Mapping[str, Any]) -> Channel:
    """Raises UnknownKindError and ConfigError."""
    if kind not in CHANNEL_KINDS:
        raise UnknownKindError(f"is not one of {', '.join(sorted(CHANNEL_KINDS))}")
    kept = CHANNEL_KINDS[kind].parse(config)
    return Channel.objects.create(organization_id=project.organization_id, project=project, name=name, kind=kind, config=kept)


def change_channel(*, channel: Channel, name: str, config: Mapping[str, Any], is_enabled: bool) -> Channel:
    """Raises ConfigError."""
    channel.name, channel.is_enabled = name, is_enabled
    channel.config = CHANNEL_KINDS[channel.kind].parse(config)
    channel.save(update_fields=["name", "config", "is_enabled"])
    return channel


@transaction.atomic
def delete_channel(*, channel: Channel, now: datetime) -> None:
    """Its deliveries stay readable; what waits is not sent any more."""
    Channel.objects.filter(pk=channel.pk).update(deleted_at=now, is_enabled=False)
    waiting = Delivery.objects.filter(channel=channel, status=Delivery.Status.PENDING)
    waiting.update(status=Delivery.Status.DEAD, finished_at=now, error="the channel was deleted")


@transaction.atomic
def send_test(*, channel: Channel, now: datetime) -> Delivery:
    """A delivery of its own, sent like every other."""
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
    return delivery


# --- the outbox


def expand_waiting(*, now: datetime) -> int:
    """Every event not yet expanded, oldest first. Returns how many."""
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
    """A check's events in their order, under the state's lock: a later one never overtakes."""
    CheckState.objects.select_for_update().get(check_row_id=check_id)
    events = list(
        IncidentEvent.objects.filter(check_row_id=check_id, expanded_at=None).select_related("incident").order_by("seq")
    )
    for event in events:
        _expand(event, now)
    return len(events)


def _expand(event: IncidentEvent, now: datetime) -> None:
    channels = Channel.objects.filter(project_id=event.incident.project_id, is_enabled=True, deleted_at=None)
    if event.kind == IncidentEvent.Kind.RESOLVED:
        # Who never heard of the opening hears no resolve.
        heard = Delivery.objects.filter(channel=OuterRef("pk"), event__incident_id=event.incident_id)
        channels = channels.filter(Exists(heard))
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


# --- deliveries


@dataclass(frozen=True)
class Claim:
    """A delivery that is ours to send until its lease ends."""

    delivery: Delivery
    attempt: int


def claimable(now: datetime) -> Q:
    """Due and free, or left behind by a sender whose lease ended."""
    free = Q(status=Delivery.Status.PENDING, next_attempt_at__lte=now)
    return free | Q(status=Delivery.Status.SENDING, lease_until__lte=now)


def waiting_deliveries(*, now: datetime, limit: int = 500) -> Sequence[uuid.UUID]:
    """What could be claimed now and nobody was told of lately: the sweep finds what a lost wake-up left."""
    untold = Q(woken_at=None) | Q(woken_at__lte=now - _WAKE_AGAIN)
    found = list(_free().filter(claimable(now), untold).order_by("next_attempt_at").values_list("id", flat=True)[:limit])
    Delivery.objects.filter(pk__in=found).update(woken_at=now)
    return found


def _in_order() -> QuerySet[Delivery]:
    """Deliveries with no unfinished earlier one of the same check and channel."""
    earlier = Delivery.objects.filter(
        check_row_id=OuterRef("check_row_id"), channel_id=OuterRef("channel_id"), seq__lt=OuterRef("seq"), status__in=_UNFINISHED
    )
    return Delivery.objects.exclude(Exists(earlier))


def _free() -> QuerySet[Delivery]:
    """Those in order whose channel has a sender left."""
    busy = (
        Delivery.objects.filter(channel_id=OuterRef("channel_id"), status=Delivery.Status.SENDING)
        .order_by()
        .values("channel_id")
        .annotate(number=Count("pk"))
        .filter(number__gte=SENDERS_PER_CHANNEL)
    )
    abandoned = Q(status=Delivery.Status.SENDING)
    return _in_order().filter(abandoned | ~Exists(busy))


def claim(*, delivery_id: uuid.UUID, now: datetime) -> Claim | None:
    """By conditional update: one sender at a time. None when it is not to be sent now."""
    rows = _free().filter(claimable(now), pk=delivery_id)
    kind = Channel.objects.filter(deliveries=delivery_id).values_list("kind", flat=True).first()
    if kind is None:
        return None
    lease_until = now + CHANNEL_KINDS[kind].lease
    taken = rows.update(status=Delivery.Status.SENDING, lease_until=lease_until, attempts=F("attempts") + 1)
    if not taken:
        return None
    delivery = Delivery.objects.select_related("channel", "event").get(pk=delivery_id)
    return Claim(delivery, delivery.attempts)


def deliver(*, delivery_id: uuid.UUID, now: datetime) -> Delivery.Status | None:
    """Claim, send, note. None when there was nothing to do."""
    claimed = claim(delivery_id=delivery_id, now=now)
    if claimed is None:
        return None
    delivery = claimed.delivery
    obstacle = _obstacle(delivery)
    if obstacle:
        return _finish(claimed, Delivery.Status.DEAD, obstacle, now)
    began = time.monotonic()
    message = Message(str(delivery.id), delivery.kind, delivery.payload, timestamp(delivery.created_at))
    try:
        CHANNEL_KINDS[delivery.channel.kind].send(delivery.channel.config, message)
    except SendError as error:
        failure: SendError | None = error
    except Exception as error:
        log.exception("delivery %s failed in our own code", delivery.id)
        failure = SendError(f"{error!r}")
    else:
        failure = None
    ended = now + timedelta(seconds=time.monotonic() - began)  # a send may take its whole timeout
    if failure is not None:
        return _note_failure(claimed, failure, ended)
    return _finish(claimed, Delivery.Status.SENT, "", ended)


def _obstacle(delivery: Delivery) -> str:
    """Why a delivery must not be sent any more, or nothing."""
    if delivery.channel.deleted_at is not None or not delivery.channel.is_enabled:
        return "the channel was deleted or switched off"
    if delivery.event is not None and delivery.kind == IncidentEvent.Kind.RESOLVED:
        heard = Delivery.objects.filter(
            channel_id=delivery.channel_id, event__incident_id=delivery.event.incident_id, status=Delivery.Status.SENT
        )
        if not heard.exists():
            return "the opening never arrived: a resolve would mean nothing"
    return ""


def _note_failure(claimed: Claim, error: SendError, now: datetime) -> Delivery.Status:
    if error.is_permanent or claimed.attempt >= MAX_ATTEMPTS:
        return _finish(claimed, Delivery.Status.DEAD, str(error), now)
    pause_s = max(error.retry_after_s or 0.0, pause(claimed.attempt, random.random()))  # jitter
    _held(claimed).update(
        status=Delivery.Status.PENDING,
        next_attempt_at=now + timedelta(seconds=min(pause_s, 86_400.0)),
        lease_until=None,
        woken_at=None,
        error=str(error)[:2_000],
    )
    _wake_next(claimed.delivery, now)
    return Delivery.Status.PENDING


@transaction.atomic
def resend(*, delivery_id: uuid.UUID, now: datetime) -> bool:
    """Try a dead delivery again from the beginning, with the same key. False for one that is not dead."""
    dead = Delivery.objects.filter(pk=delivery_id, status=Delivery.Status.DEAD)
    revived = dead.update(
        status=Delivery.Status.PENDING, attempts=0, next_attempt_at=now, finished_at=None, lease_until=None, woken_at=None
    )
    if revived:
        wake(DELIVER_TASK, delivery=str(delivery_id))
    return bool(revived)


def pause(attempt: int, chance: float) -> float:
    """Seconds before the next try: exponential with full jitter. `chance` is from 0 to 1."""
    return float(min(_FIRST_PAUSE_S * 2 ** (attempt - 1), _LONGEST_PAUSE_S)) * chance + 1.0


def _finish(claimed: Claim, status: Delivery.Status, error: str, now: datetime) -> Delivery.Status:
    _held(claimed).update(status=status, finished_at=Now(), lease_until=None, error=error[:2_000])
    _wake_next(claimed.delivery, now)
    return status


def _wake_next(delivery: Delivery, now: datetime) -> None:
    """A sender of the channel is free: the oldest that waits for one, of this check or another."""
    waiting = _free().filter(claimable(now), channel_id=delivery.channel_id, status=Delivery.Status.PENDING)
    following = waiting.order_by("created_at", "seq").values_list("id", flat=True).first()
    if following is not None:
        wake(DELIVER_TASK, delivery=str(following))


def _held(claimed: Claim) -> QuerySet[Delivery]:
    """The delivery, if it is still ours: another may have claimed it after our lease ended."""
    return Delivery.objects.filter(pk=claimed.delivery.pk, status=Delivery.Status.SENDING, attempts=claimed.attempt)
