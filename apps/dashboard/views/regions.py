"""The deployment's regions and their health. Operators create regions; every member may see them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.core.clock import from_ms, to_ms
from apps.dashboard.access import enter_project, page
from apps.dashboard.shell import is_current, nothing_new, show
from apps.monitors.models import CORE, Region
from apps.monitors.selectors import clock_words, is_impaired, liveness_of, living_workers

_FRESH_MS = 5_000


@dataclass(frozen=True)
class RegionLine:
    region: Region
    status: str
    heard_at: datetime | None
    clock: str | None
    dropped: int
    workers: int
    lag_ms: int
    """The highest event loop lag among its workers."""


def region_lines(*, now: datetime) -> list[RegionLine]:
    return [_line(region, now) for region in Region.objects.exclude(slug=CORE).order_by("slug")]


def _line(region: Region, now: datetime) -> RegionLine:
    is_live = liveness_of(region).is_live(to_ms(now))
    workers = living_workers(region, now_ms=to_ms(now))
    return RegionLine(
        region=region,
        status=_status(region, is_live),
        heard_at=from_ms(region.heard_at_ms) if region.heard_at_ms else None,
        clock=clock_words(region),
        dropped=sum(region.dropped.values()),
        workers=len(workers),
        lag_ms=max((worker["lag_ms"] for worker in workers), default=0),
    )


def _status(region: Region, is_live: bool) -> str:
    if not region.is_enabled:
        return "paused"
    if not is_live:
        return "pending" if region.heard_at_ms is None else "down"
    return "warn" if is_impaired(region) else "up"


@page()
def regions(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    place, now = enter_project(request, project), timezone.now()
    version = str(to_ms(now) // _FRESH_MS)
    if is_current(request, version):
        return nothing_new()
    return show(
        request, place, "dashboard/regions.html", {"lines": region_lines(now=now)},
        title="Regions", section="regions", now=now, version=version,
    )  # fmt: skip
