"""Sending of deliveries, each at least once: claim by conditional update with a lease, send, record the outcome."""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, When

from apps.core.clock import timestamp
from apps.core.throttle import WINDOW_S, Limit, allow_attempt
from apps.core.wake import wake
from apps.incidents.models import IncidentEvent
from apps.notifications.contract import ChannelKind, Message, SendError
from apps.notifications.models import Channel, Delivery
from apps.notifications.registry import CHANNEL_KINDS
from apps.notifications.selectors import opening_deliveries, unconfirmed_addresses
from apps.orgs.actors import Actor
from apps.orgs.audit import record_audit_entry

log = logging.getLogger(__name__)

DELIVER_TASK = "pipeline.deliver"
MAX_ATTEMPTS = 12
OUR_FAULT = "our own code failed"
"""The beginning of a delivery's `error` where our own code raised, and no receiver is at fault."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 4.0, 3_600.0
SENDERS_PER_CHANNEL, SENDERS_PER_ORGANIZATION = 2, 4
"""Sends at the same time of one channel and of one tenant: receivers that hang must not occupy every sender, of which a
notify process has eight."""
_WAKE_AGAIN = timedelta(seconds=6)
_UNFINISHED = (Delivery.Status.PENDING, Delivery.Status.SENDING)


@dataclass(frozen=True)
class Claim:
    """A delivery that we alone may send until its lease ends. `attempt` identifies the claim."""

    delivery: Delivery
    attempt: int


def claimable(now: datetime) -> Q:
    """Return the filter for deliveries that are pending and due, or whose sender's lease has expired."""
    free = Q(status=Delivery.Status.PENDING, next_attempt_at__lte=now)
    return free | Q(status=Delivery.Status.SENDING, lease_until__lte=now)


def take_unqueued_deliveries(*, now: datetime, limit: int = 500) -> Sequence[uuid.UUID]:
    """Return claimable deliveries for which no task was queued lately, and mark them as queued.

    The sweep uses it to find deliveries whose task was lost.
    """
    if not Delivery.objects.filter(status__in=_UNFINISHED).exists():  # usually: a fifth of the cost of the query below
        return []
    unqueued = Q(woken_at=None) | Q(woken_at__lte=now - _WAKE_AGAIN)
    found = list(_sendable().filter(claimable(now), unqueued).order_by("next_attempt_at").values_list("id", flat=True)[:limit])
    Delivery.objects.filter(pk__in=found).update(woken_at=now)
    return found


def _in_order() -> QuerySet[Delivery]:
    """Return the deliveries that have no unfinished earlier one of the same check and channel."""
    earlier = Delivery.objects.filter(
        check_row_id=OuterRef("check_row_id"), channel_id=OuterRef("channel_id"), seq__lt=OuterRef("seq"), status__in=_UNFINISHED
    )
    return Delivery.objects.exclude(Exists(earlier))


def _sendable() -> QuerySet[Delivery]:
    """Return the deliveries that are next in order and whose channel and tenant have a sender free."""
    abandoned = Q(status=Delivery.Status.SENDING)
    channel = _sending_many("channel_id", SENDERS_PER_CHANNEL)
    organization = _sending_many("organization_id", SENDERS_PER_ORGANIZATION)
    return _in_order().filter(abandoned | (~Exists(channel) & ~Exists(organization)))


def _sending_many(column: str, limit: int) -> QuerySet[Any, Any]:
    """Return a row if as many deliveries as `limit` are being sent that have the same value in this column."""
    sending = Delivery.objects.filter(**{column: OuterRef(column)}, status=Delivery.Status.SENDING).order_by()
    many: QuerySet[Any, Any] = sending.values(column).annotate(number=Count("pk")).filter(number__gte=limit)
    return many


def claim(*, delivery_id: uuid.UUID, now: datetime) -> Claim | None:
    """Claim a delivery by conditional update: only one worker sends it. Returns None if it must not be sent now."""
    rows = _sendable().filter(claimable(now), pk=delivery_id)
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
    """Claim a delivery, send it and record the outcome. Returns its new status, or None if it could not be claimed."""
    claimed = claim(delivery_id=delivery_id, now=now)
    if claimed is None:
        return None
    delivery = claimed.delivery
    kind = CHANNEL_KINDS[delivery.channel.kind]
    config = _confirmed_config(delivery, kind)
    obstacle = _obstacle(delivery) or _lacks_addresses(config, kind)
    if obstacle:
        return _finish(claimed, Delivery.Status.DEAD, obstacle, now)
    if not _is_within_limit(delivery, config, kind):
        return _postpone(claimed, now)
    began = time.monotonic()
    message = Message(str(delivery.id), delivery.kind, delivery.payload, timestamp(delivery.created_at))
    try:
        kind.send(config, message)
    except SendError as error:
        failure: SendError | None = error
    except Exception as error:
        log.exception("delivery %s failed in our own code", delivery.id)
        failure = SendError(f"{OUR_FAULT}: {error!r}")
    else:
        failure = None
    ended = now + timedelta(seconds=time.monotonic() - began)  # a send may take its whole timeout
    if failure is not None:
        return _note_failure(claimed, failure, ended)
    return _finish(claimed, Delivery.Status.SENT, "", ended)


def _obstacle(delivery: Delivery) -> str:
    """Return why the delivery must not be sent any more, or an empty string."""
    if delivery.channel.deleted_at is not None or not delivery.channel.is_enabled:
        return "the channel was deleted or switched off"
    if delivery.event is not None and delivery.kind == IncidentEvent.Kind.RESOLVED:
        sent = opening_deliveries(incident_id=delivery.event.incident_id, statuses=[Delivery.Status.SENT])
        if not sent.filter(channel_id=delivery.channel_id).exists():
            return "not sent: this channel never received the opening"
    return ""


def _confirmed_config(delivery: Delivery, kind: ChannelKind) -> dict[str, Any]:
    """Return the channel's config without the addresses that are not confirmed."""
    config: dict[str, Any] = delivery.channel.config
    if kind.confirmed_field is None:
        return config
    missing = unconfirmed_addresses(channel=delivery.channel)
    return {**config, kind.confirmed_field: [a for a in config[kind.confirmed_field] if a not in missing]}


def _lacks_addresses(config: dict[str, Any], kind: ChannelKind) -> str:
    is_empty = kind.confirmed_field is not None and not config[kind.confirmed_field]
    return "no address of the channel is confirmed: its owner was sent a link" if is_empty else ""


def _is_within_limit(delivery: Delivery, config: dict[str, Any], kind: ChannelKind) -> bool:
    """Count the e-mails of this delivery and return whether the project may send them now.

    The limit keeps a storm of alerts from getting the installation blocked as a sender of spam.
    """
    if kind.confirmed_field is None:
        return True
    limit = Limit("mails", settings.MAILS_PER_MINUTE)
    return allow_attempt(limit, str(delivery.channel.project_id), count=len(config[kind.confirmed_field]))


def _postpone(claimed: Claim, now: datetime) -> Delivery.Status:
    """Reschedule the delivery in about a minute, without counting an attempt."""
    _still_claimed(claimed).update(
        status=Delivery.Status.PENDING,
        next_attempt_at=now + timedelta(seconds=WINDOW_S * random.uniform(0.5, 1.5)),  # jitter
        lease_until=None,
        woken_at=None,
        attempts=F("attempts") - 1,
    )
    return Delivery.Status.PENDING


def _note_failure(claimed: Claim, error: SendError, now: datetime) -> Delivery.Status:
    if error.is_permanent or claimed.attempt >= MAX_ATTEMPTS:
        return _finish(claimed, Delivery.Status.DEAD, str(error), now)
    pause_s = max(error.retry_after_s or 0.0, backoff_s(claimed.attempt, random.random()))  # jitter
    _still_claimed(claimed).update(
        status=Delivery.Status.PENDING,
        next_attempt_at=now + timedelta(seconds=min(pause_s, 86_400.0)),
        lease_until=None,
        woken_at=None,
        error=str(error)[:2_000],
    )
    _wake_next(claimed.delivery, now)
    return Delivery.Status.PENDING


@transaction.atomic
def resend(*, actor: Actor, delivery_id: uuid.UUID, now: datetime) -> bool:
    """Retry a dead delivery from its first attempt, with the same idempotency key. Returns False if it is not dead."""
    dead = Delivery.objects.filter(pk=delivery_id, status=Delivery.Status.DEAD)
    revived = dead.update(
        status=Delivery.Status.PENDING, attempts=0, next_attempt_at=now, finished_at=None, lease_until=None, woken_at=None
    )
    if revived:
        delivery = Delivery.objects.select_related("channel").get(pk=delivery_id)
        record_audit_entry(
            actor=actor, action="delivery.resent", subject=delivery, now=now,
        )  # fmt: skip
        wake(DELIVER_TASK, delivery=str(delivery_id))
    return bool(revived)


def backoff_s(attempt: int, chance: float) -> float:
    """Return the seconds until the next attempt: exponential, with full jitter. `chance` is random, from 0 to 1."""
    return float(min(_FIRST_PAUSE_S * 2 ** (attempt - 1), _LONGEST_PAUSE_S)) * chance + 1.0


def _finish(claimed: Claim, status: Delivery.Status, error: str, now: datetime) -> Delivery.Status:
    _still_claimed(claimed).update(status=status, finished_at=now, lease_until=None, error=error[:2_000])
    _wake_next(claimed.delivery, now)
    return status


def _wake_next(delivery: Delivery, now: datetime) -> None:
    """Queue the tenant's oldest claimable delivery, first of the same channel: one of its senders is free again."""
    pending = Delivery.objects.filter(organization_id=delivery.organization_id, status=Delivery.Status.PENDING)
    if not pending.exists():  # usually, and far cheaper to ask
        return
    waiting = _sendable().filter(claimable(now), organization_id=delivery.organization_id, status=Delivery.Status.PENDING)
    is_other = Case(When(channel_id=delivery.channel_id, then=0), default=1)
    following = waiting.order_by(is_other, "created_at", "seq").values_list("id", flat=True).first()
    if following is not None:
        wake(DELIVER_TASK, delivery=str(following))


def _still_claimed(claimed: Claim) -> QuerySet[Delivery]:
    """Return the delivery as a queryset, which is empty if another worker claimed it after our lease ended."""
    return Delivery.objects.filter(pk=claimed.delivery.pk, status=Delivery.Status.SENDING, attempts=claimed.attempt)
