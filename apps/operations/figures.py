"""Reads the figures of the installation's health, for the doctor. The judgement is made in `doctor`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min
from kombu import Connection

from apps.core.clock import DAY_MS, to_ms
from apps.incidents.models import IncidentEvent
from apps.monitors.models import DispatchCursor, Region
from apps.monitors.selectors import liveness_of, living_workers
from apps.notifications.models import Delivery
from apps.notifications.services.deliveries import OUR_FAULT, claimable
from apps.probes import wire
from apps.probes.wire import OUR_FAULTS
from apps.results.models import DeadLetter
from apps.results.partitions import day_of, partition_names
from apps.results.rollups import done_until

log = logging.getLogger(__name__)

QUEUES = ("tick", "core", "notify", "upkeep", "ingest")
_RECENT_MS = 60_000


@dataclass(frozen=True)
class RegionFigures:
    slug: str
    is_live: bool
    workers: int
    in_flight: int
    waiting: int | None
    """Batches in its queue; None while the broker is unavailable."""
    drops_lately: bool
    """Whether one of its workers had to drop slots within the last minute."""
    lag_ms: int
    """The highest event loop lag among its workers."""
    offset_ms: int
    faults: int = 0
    """Runs that failed by an exception in our own code since the region's workers started."""


@dataclass(frozen=True)
class Figures:
    """State of the installation. Ages are in seconds, and None where there is nothing to measure."""

    dispatch_behind_s: float | None
    """How long ago the last dispatched slot was due. Normally negative, since slots are dispatched ahead of time."""
    queues: Mapping[str, int | None]
    regions: tuple[RegionFigures, ...]
    dead_letters: Mapping[str, int]
    oldest_dead_letter_s: float | None
    outbox: int
    oldest_event_s: float | None
    due_deliveries: int
    oldest_delivery_s: float | None
    database_ms: float
    """Round trip of `SELECT 1`."""
    partition_days_ahead: int
    oldest_partition_days: int
    rolled_up_behind_s: float | None
    failed_by_ourselves: int = 0
    """Deliveries of the last hour that are dead or retried because our own code raised."""


def figures(*, now: datetime) -> Figures:
    now_ms = to_ms(now)
    rows = Region.objects.probing().order_by("slug")
    waiting = _queue_lengths([*QUEUES, *(wire.queue_of(region.slug) for region in rows)])
    letters = DeadLetter.objects.values_list("origin").annotate(count=Count("pk"))
    cursor = DispatchCursor.objects.values_list("sent_until_ms", flat=True).first()
    events = IncidentEvent.objects.filter(expanded_at=None).aggregate(count=Count("pk"), oldest=Min("created_at"))
    due = Delivery.objects.filter(claimable(now)).aggregate(count=Count("pk"), oldest=Min("next_attempt_at"))
    days = [day_of(name) for name in partition_names()]
    today = now_ms // DAY_MS * DAY_MS
    rolled = done_until("hour")
    return Figures(
        dispatch_behind_s=None if cursor is None else (now_ms - cursor) / 1000,
        queues={name: waiting[name] for name in QUEUES},
        regions=tuple(_region(region, waiting[wire.queue_of(region.slug)], now_ms) for region in rows),
        dead_letters=dict(letters),
        oldest_dead_letter_s=_age(DeadLetter.objects.aggregate(oldest=Min("created_at"))["oldest"], now),
        outbox=events["count"],
        oldest_event_s=_age(events["oldest"], now),
        due_deliveries=due["count"],
        oldest_delivery_s=_age(due["oldest"], now),
        database_ms=_round_trip_ms(),
        partition_days_ahead=sum(day > today for day in days),
        oldest_partition_days=(today - min(days, default=today)) // DAY_MS,
        rolled_up_behind_s=(now_ms - rolled) / 1000 if rolled else None,
        failed_by_ourselves=Delivery.objects.filter(created_at__gt=now - timedelta(hours=1), error__startswith=OUR_FAULT).count(),
    )


def _region(region: Region, waiting: int | None, now_ms: int) -> RegionFigures:
    workers = living_workers(region, now_ms=now_ms)
    return RegionFigures(
        slug=region.slug,
        is_live=liveness_of(region).is_live(now_ms),
        workers=len(workers),
        in_flight=sum(worker["in_flight"] for worker in workers),
        waiting=waiting,
        drops_lately=any((worker["dropped_at_ms"] or 0) > now_ms - _RECENT_MS for worker in workers),
        lag_ms=max((worker["lag_ms"] for worker in workers), default=0),
        faults=sum(worker["dropped"].get(OUR_FAULTS, 0) for worker in workers),
        offset_ms=max((worker["offset_ms"] for worker in workers), key=abs, default=0),
    )


def _queue_lengths(names: list[str]) -> dict[str, int | None]:
    """Return the number of messages in each queue; None for all of them if the broker is unavailable."""
    try:
        with Connection(settings.BROKER_URL, connect_timeout=2) as broker:
            return {name: _length(broker, name) for name in names}
    except Exception as error:  # noqa: BLE001  # each broker library has its own errors; all mean no answer
        log.info("the broker does not tell of its queues: %s", error)
        return dict.fromkeys(names)


def _length(broker: Connection, name: str) -> int:
    """Return the length of a queue, 0 if it does not exist: Redis has no empty queues.

    Each queue gets its own channel, because RabbitMQ closes a channel that asks for a missing queue.
    """
    channel: Any = broker.channel()
    try:
        return int(channel.queue_declare(queue=name, passive=True).message_count)
    except broker.channel_errors:
        return 0


def _round_trip_ms() -> float:
    began = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return (time.perf_counter() - began) * 1000


def _age(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (now - moment).total_seconds()
