"""Fast path of `evaluate`: a check of one region that was up and is up again, stepped without reading runs.

The state row is locked and the revision is read after that, as for every other check; only fewer columns are read and
written.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection

from apps.core.arrays import array_of
from apps.incidents.machine import goes_on, next_slot
from apps.incidents.rows import policy_of
from apps.monitors.liveness import Liveness
from apps.monitors.plans import Plan
from apps.results.models import HEALTHS

_UP = HEALTHS.index("up")


@dataclass(frozen=True, slots=True)
class FreshVote:
    """The only run of a check in a batch, just recorded for the first time."""

    slot: int
    region_id: int
    revision: int
    verdict: str


class LockedState(NamedTuple):
    """The columns that are read of a state row when it is locked."""

    check_id: uuid.UUID
    due: int
    slot: int
    status: str
    level: int
    last_notified: int
    own: int | None
    shown: int | None
    counted: int | None
    streaks: Sequence[int | None]
    last_extra: int | None


_LOCK = """
    SELECT check_row_id, due, slot, status, level, last_notified, own, shown, counted, streaks, extras[cardinality(extras)]
    FROM incidents_checkstate WHERE check_row_id = ANY (%s::uuid[]) ORDER BY check_row_id FOR UPDATE
"""
# streaks[5] and streaks[7] are the counts of "ok" and "clean": four pairs of count and first slot, from index 1.
_ADVANCE = """
    UPDATE incidents_checkstate AS s
    SET due = n.due, slot = n.slot, counted = n.slot, streaks[5] = s.streaks[5] + 1, streaks[7] = s.streaks[7] + 1
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS n (id, slot, due) WHERE s.check_row_id = n.id
"""


def lock_states(check_ids: Collection[uuid.UUID]) -> list[LockedState]:
    """Lock the states of these checks in id order, as every caller that locks several must do to avoid deadlocks."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [array_of(check_ids)])
        rows: list[Any] = cursor.fetchall()
    return [LockedState(*row) for row in rows]


def advance_unchanged(
    *,
    locked: Sequence[LockedState],
    plan_of: Mapping[uuid.UUID, Plan],
    liveness: Mapping[int, Liveness],
    fresh: Mapping[uuid.UUID, FreshVote],
    now_ms: int,
) -> set[uuid.UUID]:
    """Step the checks that only continue their state; return their ids.

    A check whose next slot is already past is left out, as its vote may have been recorded and must be read.
    """
    steps = []
    for state in locked:
        vote, plan = fresh.get(state.check_id), plan_of[state.check_id]
        if vote is not None and plan.is_active and _is_unchanged(state, vote, plan, liveness):
            due = next_slot(vote.slot, policy_of(plan))
            if due > now_ms:
                steps.append((state.check_id, vote.slot, due))
    if steps:
        with connection.cursor() as cursor:
            cursor.execute(_ADVANCE, [array_of(column) for column in zip(*steps, strict=True)])
    return {check_id for check_id, _, _ in steps}


def _is_unchanged(state: LockedState, vote: FreshVote, plan: Plan, liveness: Mapping[int, Liveness]) -> bool:
    """Return whether this vote decides the check's next round and only continues the state."""
    region = liveness.get(vote.region_id)
    return (
        vote.verdict == "up"
        and vote.slot == state.due
        and vote.revision == plan.revision
        and list(plan.region_ids) == [vote.region_id]
        and region is not None
        and region.is_live(vote.slot)
        and (plan.quorum or 1) == 1
        and (state.last_extra is None or state.last_extra <= state.slot)
        and state.own == state.shown == _UP
        and state.status == "up"
        and state.level == state.last_notified == 0
        and goes_on(state.streaks, state.counted, vote.slot, plan.interval_ms)
    )
