"""Reads of checks, regions and resources."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterable
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from apps.core.arrays import array_of
from apps.monitors.liveness import Liveness
from apps.monitors.models import CORE, Check, Region, Resource
from apps.orgs.models import Organization, Project
from apps.probes.core_time import APPLIED_BEYOND_MS
from apps.probes.registry import PASSIVE

log = logging.getLogger(__name__)

HEARD_WITHIN_MS = 900_000


def checks_of(*, organization: Organization, project: Project | None) -> QuerySet[Check]:
    """Return the checks that a caller may see: of the organization, or of the project that its API key is for."""
    checks = Check.objects.live().filter(organization=organization)
    return checks if project is None else checks.filter(project=project)


def regions_of_checks(check_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[int]]:
    """Return the region ids of each existing check, including deleted ones."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, region_ids FROM monitors_check WHERE id = ANY (%s::uuid[])", [array_of(check_ids)])
        return dict(cursor.fetchall())


def liveness_of(region: Region) -> Liveness:
    return Liveness(region.last_sent_ms, region.silent_from_ms, region.silent_until_ms)


def watched_resources(*, project: Project) -> QuerySet[Resource]:
    """Return resources with a check, once for each of their checks: for counting and sorting by checks."""
    return Resource.objects.filter(project=project, checks__isnull=False, checks__deleted_at=None)


def clock_warning(region: Region) -> str | None:
    """Return a message if the clock of the worker that reported last is off by more than the tolerance, else None."""
    is_off = abs(region.clock_offset_ms) > APPLIED_BEYOND_MS
    return f"clock off by {region.clock_offset_ms / 1000:+.1f} s" if is_off else None


def is_impaired(region: Region) -> bool:
    """Return whether its worker reaches none of its canaries, so that failures that it sees are reported as unknown."""
    return bool(region.canaries) and not any(region.canaries.values())


WORKER_LIVES_MS = 30_000


def living_workers(region: Region, *, now_ms: int) -> list[dict[str, Any]]:
    """Return the last reports of the region's workers that were heard from lately."""
    return [worker for worker in region.workers.values() if worker["at_ms"] > now_ms - WORKER_LIVES_MS]


def region_liveness() -> dict[int, Liveness]:
    with connection.cursor() as cursor:
        cursor.execute(_LIVENESS, [CORE])
        return {row[0]: Liveness(*row[1:]) for row in cursor.fetchall()}


_LIVENESS = """
    SELECT id, last_sent_ms, silent_from_ms, silent_until_ms FROM monitors_region WHERE is_enabled AND slug <> %s
"""


def regions_heard_recently(regions: Iterable[Region], *, now_ms: int) -> list[Region]:
    """Return the regions to send jobs to: those heard from in the last 15 minutes.

    Much longer than a silence, so that a backlog of ingest does not stop probing.
    """
    return [region for region in regions if (region.heard_at_ms or 0) > now_ms - HEARD_WITHIN_MS]


def ping_url(check: Check) -> str | None:
    """Return the URL that a heartbeat's job calls; None for other kinds."""
    return f"{settings.PUBLIC_URL}/ping/{check.ping_secret}" if check.kind == "heartbeat" else None


def heartbeat_at(address: uuid.UUID) -> uuid.UUID | None:
    """Return the id of the heartbeat with this ping secret. For one release the check's own id is accepted as well."""
    found = Check.objects.live().filter(kind__in=PASSIVE).filter(Q(ping_secret=address) | Q(pk=address))
    return found.values_list("pk", flat=True).first()


def heartbeat_named(*, ping_key: str, slug: str) -> uuid.UUID | None:
    """Return the id of a project's heartbeat by its slug."""
    named = Check.objects.live().filter(project__ping_key=ping_key, kind="heartbeat", options__slug=slug)
    return named.values_list("pk", flat=True).first()
