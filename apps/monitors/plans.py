"""The columns of checks that the state machine reads, by plain SQL: thousands of checks are read per second."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from apps.core.arrays import array_of
from apps.probes.contract import probe_options
from apps.probes.registry import PASSIVE


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


PASSIVE_PLAN_COLUMNS = """
    c.revision, c.is_paused, c.interval_s * 1000, c.fail_after, c.recover_after, c.region_ids[1], c.kind, c.options::text,
    c.degraded_ms
"""
"""What `passive_plan_of` takes, of `monitors_check AS c`."""
_PASSIVE_PLAN = f"""
    SELECT {PASSIVE_PLAN_COLUMNS} FROM monitors_check AS c WHERE c.id = %s AND c.deleted_at IS NULL AND c.kind = ANY (%s)
"""  # noqa: S608  # built of the literal above


def passive_plan(check_id: uuid.UUID) -> PassivePlan | None:
    """Return the plan of a passive check; None if it does not exist, is deleted or is an active check."""
    with connection.cursor() as cursor:
        cursor.execute(_PASSIVE_PLAN, [check_id, list(PASSIVE)])
        row = cursor.fetchone()
    if row is None:
        return None
    return passive_plan_of(check_id, row)


def passive_plan_of(check_id: uuid.UUID, columns: Sequence[Any]) -> PassivePlan:
    """Build a plan from `PASSIVE_PLAN_COLUMNS`."""
    *plain, options, degraded_ms = columns
    values: list[Any] = [check_id, *plain, probe_options(json.loads(options), degraded_ms)]
    return PassivePlan(*values)
