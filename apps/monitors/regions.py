"""Regions: made, and heard of. What their workers report is kept as they said it last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.core.clock import to_ms
from apps.monitors.errors import FieldError
from apps.monitors.models import CORE, Region
from apps.monitors.selectors import WORKER_LIVES_MS, liveness_of
from apps.probes import wire


def ensure_region(*, slug: str, name: str = "") -> Region:
    """The region of that slug, made when it is new. Raises FieldError for the core's own."""
    if slug == CORE:
        raise FieldError("slug", f"{CORE!r} is where heartbeats are heard; no probe worker can be of it")
    return _ensure_region(slug=slug, name=name)


def ensure_core_region() -> Region:
    return _ensure_region(slug=CORE, name="Core")


def hear_core(*, now: datetime) -> None:
    """The core can be reached by pings now: a deadline inside its silence is nobody's fault."""
    hear_region(region_id=ensure_core_region().pk, sent_at=to_ms(now), report=None, now=now)


@transaction.atomic
def _ensure_region(*, slug: str, name: str) -> Region:
    region = Region.objects.filter(slug=slug).first()
    if region is None:
        key = wire.new_region_key()
        region = Region.objects.create(slug=slug, name=name or slug, key=key, key_id=wire.key_id(key))
    return region


@dataclass(frozen=True)
class WorkerReport:
    """A heartbeat, and which message of which worker it came with."""

    worker: str
    sequence: int
    heartbeat: wire.Heartbeat


_WORKERS_KEPT = 50
_BUSY = frozenset({"late", "unsent"})
"""Drops that tell of more work than a worker can do; the others belong to a start or a stop."""


def _heard_workers(before: Mapping[str, Any], report: WorkerReport, now_ms: int) -> dict[str, Any]:
    """The region's workers that were heard of lately. Of each, when it last had to drop something."""
    heartbeat = report.heartbeat
    alive = {name: worker for name, worker in before.items() if worker["at_ms"] > now_ms - WORKER_LIVES_MS}
    known = alive.get(report.worker)
    drops_more = _busy_drops(heartbeat.dropped) > (_busy_drops(known["dropped"]) if known else 0)
    newest = sorted(alive, key=lambda name: alive[name]["at_ms"], reverse=True)[: _WORKERS_KEPT - 1]
    alive = {name: alive[name] for name in newest}  # regions are not trusted: they may name as many as they like
    alive[report.worker] = {
        "at_ms": now_ms,
        "sequence": report.sequence,
        "in_flight": heartbeat.in_flight,
        "dropped": heartbeat.dropped,
        "dropped_at_ms": now_ms if drops_more else known and known["dropped_at_ms"],
        "lag_ms": heartbeat.lag_ms,
        "offset_ms": heartbeat.offset_ms,
    }
    return alive


def _is_repeated(region: Region, report: WorkerReport, sent_at: int, now_ms: int) -> bool:
    """Whether a heartbeat was taken before, or is so old that its worker may be forgotten: it says nothing of now.

    A worker without the core's time may say any `sent_at`.
    """
    known = region.workers.get(report.worker)
    if known is not None:
        return bool(report.sequence <= known["sequence"])
    return report.heartbeat.is_settled and sent_at <= now_ms - WORKER_LIVES_MS


def _busy_drops(dropped: Mapping[str, int]) -> int:
    return sum(count for why, count in dropped.items() if why in _BUSY)


@transaction.atomic
def hear_region(*, region_id: int, sent_at: int, report: WorkerReport | None, now: datetime) -> None:
    """A message of the region arrived. A copy of an older one makes nothing live: what was sent when is signed.

    A worker that does not know the core's time yet keeps its region unheard for slots.
    """
    region = Region.objects.select_for_update().get(pk=region_id)
    now_ms = to_ms(now)
    fields = []
    if report is not None and _is_repeated(region, report, sent_at, now_ms):
        report = None
    is_settled = report is None or report.heartbeat.is_settled
    if report is not None or sent_at > (region.last_sent_ms or 0):
        region.heard_at_ms = now_ms
        fields.append("heard_at_ms")
    if is_settled:
        life = liveness_of(region).heard(min(sent_at, now_ms))
        region.last_sent_ms, region.silent_from_ms, region.silent_until_ms = life.last_sent, life.silent_from, life.silent_until
        fields += ["last_sent_ms", "silent_from_ms", "silent_until_ms"]
    if report is not None:
        workers = region.workers = _heard_workers(region.workers, report, now_ms)
        region.clock_offset_ms, region.canaries = report.heartbeat.offset_ms, report.heartbeat.canaries
        region.in_flight = sum(worker["in_flight"] for worker in workers.values())
        region.dropped = dict(sum((Counter(worker["dropped"]) for worker in workers.values()), Counter[str]()))
        fields += ["clock_offset_ms", "in_flight", "dropped", "canaries", "workers"]
    region.save(update_fields=fields)
