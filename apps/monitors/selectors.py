"""Reads of checks, regions and resources."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from apps.core.arrays import array_of
from apps.core.crypto import DecryptionError, associated_data_of, decrypt
from apps.monitors.liveness import Liveness
from apps.monitors.models import CORE, Check, Region, Resource
from apps.orgs.models import Organization, Project
from apps.probes.clock import APPLIED_BEYOND_MS
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


@dataclass(frozen=True, slots=True)
class Plan:
    """The columns of a check that the state machine reads; few, as thousands of checks are read per second."""

    id: uuid.UUID
    revision: int
    is_active: bool
    """Whether it is probed: not paused, not deleted, not passive."""
    interval_ms: int
    timeout_ms: int
    fail_after: int
    recover_after: int
    quorum: int | None
    phase_ms: int
    since_ms: int
    region_ids: Sequence[int]


_plans: dict[tuple[uuid.UUID, int], Plan] = {}
_PLANS_KEPT = 200_000


def plans(check_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Plan]:
    """Return the plans of checks whose state is locked.

    Plans are cached by revision, since none of their columns changes without a new one: for known checks only the
    revision is read.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, revision FROM monitors_check WHERE id = ANY (%s::uuid[])", [array_of(check_ids)])
        found = {key[0]: _plans.get(key) for key in cursor.fetchall()}
        missing = [check_id for check_id, plan in found.items() if plan is None]
        if missing:
            cursor.execute(_PLANS, [list(PASSIVE), array_of(missing)])
            read = [Plan(*row) for row in cursor.fetchall()]
            if len(_plans) > _PLANS_KEPT:
                _plans.clear()
            _plans.update({(plan.id, plan.revision): plan for plan in read})
            found |= {plan.id: plan for plan in read}
    return {check_id: plan for check_id, plan in found.items() if plan is not None}


_PLANS = """
    SELECT id, revision, deleted_at IS NULL AND NOT is_paused AND kind <> ALL (%s), interval_s * 1000, timeout_s * 1000,
        fail_after, recover_after, quorum, phase_ms, since_ms, region_ids FROM monitors_check WHERE id = ANY (%s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class PassivePlan:
    """The columns of a passive check that are read for each of its pings."""

    id: uuid.UUID
    revision: int
    is_paused: bool
    interval_ms: int
    fail_after: int
    recover_after: int
    region_id: int
    kind: str
    options: dict[str, Any]
    """The kind's options, with `degraded_ms` added."""


def passive_plan(check_id: uuid.UUID) -> PassivePlan | None:
    """Return the plan of a passive check; None if it does not exist, is deleted or is an active check."""
    statement = """
        SELECT id, revision, is_paused, interval_s * 1000, fail_after, recover_after, region_ids[1], kind,
            options::text, degraded_ms FROM monitors_check WHERE id = %s AND deleted_at IS NULL AND kind = ANY (%s)
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, [check_id, list(PASSIVE)])
        row = cursor.fetchone()
    if row is None:
        return None
    return passive_plan_of(row[0], row[1:])


def passive_plan_of(check_id: uuid.UUID, columns: Sequence[Any]) -> PassivePlan:
    """Build a plan from the columns that `passive_plan` selects, from `revision` on."""
    *plain, options, degraded_ms = columns
    values: list[Any] = [check_id, *plain, {**json.loads(options), "degraded_ms": degraded_ms}]
    return PassivePlan(*values)


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


@dataclass(frozen=True)
class DueCheck:
    """What a job needs to know of a check that is due."""

    id: uuid.UUID
    revision: int
    slot: int
    kind: str
    target: str
    options: dict[str, Any]
    secrets: dict[str, Any]
    timeout_ms: int
    degraded_ms: int | None
    retries: int
    region_ids: tuple[int, ...]
    tenant: str
    """Shortened organization id, by which workers share their capacity fairly among tenants."""


_COLUMNS = (
    "id, revision, {slot}, kind, target, options::text, secrets, timeout_s, degraded_ms, retries, region_ids, organization_id"
)
_GRID = "(%(until)s - phase_ms) / (interval_s * 1000::bigint) * (interval_s * 1000) + phase_ms"
_DUE = f"""
    SELECT {_COLUMNS.format(slot="slot")} FROM (SELECT *, {_GRID} AS slot FROM monitors_check
        WHERE deleted_at IS NULL AND NOT is_paused AND kind <> ALL (%(passive)s)) AS c
    WHERE slot > %(after)s AND slot >= since_ms
"""  # noqa: S608  # built of the literals above


def due_checks(*, after_ms: int, until_ms: int) -> list[DueCheck]:
    """Return every active check that has a regular slot in (after, until], with the last such slot, in one scan."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"after": after_ms, "until": until_ms, "passive": list(PASSIVE)})
        return [due for row in cursor.fetchall() if (due := _due(row)) is not None]


def due_now(*, check_id: uuid.UUID, revision: int, slot: int) -> DueCheck | None:
    """Return one extra slot of a check, or None if the check has changed since."""
    statement = f"SELECT {_COLUMNS.format(slot='%(slot)s::bigint')} FROM monitors_check WHERE id = %(id)s AND revision = %(revision)s AND deleted_at IS NULL AND NOT is_paused"  # noqa: S608, E501  # built of the literal above
    with connection.cursor() as cursor:
        cursor.execute(statement, {"slot": slot, "id": check_id, "revision": revision})
        row = cursor.fetchone()
    return _due(row) if row else None


def tenant_of(organization_id: uuid.UUID) -> str:
    """Return the tenant's name in jobs."""
    return organization_id.hex[:8]


def _due(row: Sequence[Any]) -> DueCheck | None:
    """Build a due check from its columns. None if its secrets cannot be decrypted: only that check is skipped."""
    check_id, revision, slot, kind, target, options, secrets, timeout_s, degraded_ms, retries, regions, organization = row
    try:
        opened = (
            {}
            if secrets is None
            else json.loads(decrypt(secrets, place=associated_data_of("monitors_check", "secrets", check_id)))
        )
    except DecryptionError as error:
        log.error("check %s is not run: %s", check_id, error)
        return None
    return DueCheck(
        check_id,
        revision,
        slot,
        kind,
        target,
        msgspec.json.decode(options),
        opened,
        timeout_s * 1000,
        degraded_ms,
        retries,
        tuple(regions),
        tenant_of(organization),
    )
