"""Creates regions and records the messages and reports of their workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.core.clock import to_ms
from apps.core.errors import FieldError
from apps.monitors.models import CORE, Region
from apps.monitors.selectors import WORKER_LIVES_MS, liveness_of
from apps.orgs.actors import Actor
from apps.orgs.audit import changes_of, record_audit_entry
from apps.orgs.models import Project
from apps.probes import wire


def ensure_region(*, slug: str, name: str = "") -> Region:
    """Return the region with this slug, created if it is new. Raises FieldError for the core's slug."""
    if slug == CORE:
        raise FieldError("slug", f"{CORE!r} is where heartbeats are heard; no probe worker can be of it")
    return _ensure_region(slug=slug, name=name)


@transaction.atomic
def create_region(*, actor: Actor, project: Project, slug: str, name: str, now: datetime) -> Region:
    """Create a region from the pages of a project, whose audit log records it. Raises FieldError for a known slug."""
    if Region.objects.filter(slug=slug).exists():
        raise FieldError("slug", "a region of this slug exists already")
    region = ensure_region(slug=slug, name=name)
    record_audit_entry(actor=actor, action="region.created", subject=project, now=now, after={"slug": slug, "name": name})
    return region


@transaction.atomic
def change_region(*, actor: Actor, project: Project, region: Region, name: str, is_enabled: bool, now: datetime) -> Region:
    """Rename a region, or take it out of the probing and back; the project's audit log records it."""
    differs = changes_of({"name": region.name, "is_enabled": region.is_enabled}, {"name": name, "is_enabled": is_enabled})
    region.name, region.is_enabled = name, is_enabled
    region.save(update_fields=["name", "is_enabled"])
    if differs[1]:
        after = {"slug": region.slug, **differs[1]}
        record_audit_entry(actor=actor, action="region.changed", subject=project, now=now, before=differs[0], after=after)
    return region


def ensure_core_region() -> Region:
    return _ensure_region(slug=CORE, name="Core")


def record_core_liveness(*, now: datetime) -> None:
    """Record that pings can reach the core now: a deadline in a gap between these records is settled as unknown."""
    record_region_message(region_id=ensure_core_region().pk, sent_at=to_ms(now), report=None, now=now)


@transaction.atomic
def _ensure_region(*, slug: str, name: str) -> Region:
    region = Region.objects.filter(slug=slug).first()
    if region is None:
        key = wire.new_region_key()
        region = Region.objects.create(slug=slug, name=name or slug, key=key, key_id=wire.key_id(key))
    return region


@dataclass(frozen=True)
class WorkerReport:
    """A worker's heartbeat message, with the worker's name and the message's sequence number."""

    worker: str
    sequence: int
    heartbeat: wire.Heartbeat


_WORKERS_KEPT = 50
_BUSY = frozenset({"late", "unsent"})
"""Reasons for drops that mean overload; the others occur when a worker starts or stops."""


def _heard_workers(before: Mapping[str, Any], report: WorkerReport, now_ms: int) -> dict[str, Any]:
    """Return the last reports of all workers heard from lately, including this one.

    `dropped_at_ms` is when a worker last dropped a job because of overload.
    """
    heartbeat = report.heartbeat
    alive = {name: worker for name, worker in before.items() if worker["at_ms"] > now_ms - WORKER_LIVES_MS}
    known = alive.get(report.worker)
    drops_more = _busy_drops(heartbeat.dropped) > (_busy_drops(known["dropped"]) if known else 0)
    newest = sorted(alive, key=lambda name: alive[name]["at_ms"], reverse=True)[: _WORKERS_KEPT - 1]
    alive = {name: alive[name] for name in newest}  # regions are not trusted: they may invent any number of workers
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
    """Return whether a heartbeat was received before, or is so old that its worker may have been forgotten.

    `sent_at` is not judged if the worker does not know the core's time yet.
    """
    known = region.workers.get(report.worker)
    if known is not None:
        return bool(report.sequence <= known["sequence"])
    return report.heartbeat.is_settled and sent_at <= now_ms - WORKER_LIVES_MS


def _busy_drops(dropped: Mapping[str, int]) -> int:
    return sum(count for why, count in dropped.items() if why in _BUSY)


@transaction.atomic
def record_region_message(*, region_id: int, sent_at: int, report: WorkerReport | None, now: datetime) -> None:
    """Record a message of the region. A replayed one does not make it live, as its send time is signed.

    A message of a worker that does not know the core's time yet does not count for liveness at slots.
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
