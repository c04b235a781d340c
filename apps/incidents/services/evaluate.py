"""Turns recorded runs into settled rounds: locks states, reads votes, steps each check, writes the outcome.

One transaction per batch.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction

from apps.core.clock import to_ms
from apps.core.halving import in_halves
from apps.incidents.explanations import Why, explain
from apps.incidents.machine import Event, State, derive, is_of_sequence, is_stale_news
from apps.incidents.models import CheckState
from apps.incidents.rows import policy_of, state_of
from apps.incidents.services.apply_events import (
    apply_state_to_row,
    has_interval_events_only,
    new_intervals,
    turned_at,
    write_events,
)
from apps.incidents.services.fast_path import FreshVote, advance_unchanged, lock_states
from apps.monitors.liveness import Liveness
from apps.monitors.models import Check
from apps.monitors.plans import Plan, plans
from apps.monitors.selectors import region_liveness
from apps.results.dead_letters import add_dead_letter
from apps.results.models import DeadLetter
from apps.results.selectors import UnsettledSince, Vote, unsettled_votes
from apps.results.state_intervals import NewInterval, put_intervals

log = logging.getLogger(__name__)

_DEAD_LETTER_PAUSE = timedelta(minutes=10)
_SWEEP_LIMIT = 500


@dataclass(frozen=True)
class _Outcome:
    row: CheckState
    plan: Plan
    before: State
    after: State
    events: list[Event]
    votes: list[Vote]


@transaction.atomic
def evaluate_checks(
    *, check_ids: Collection[uuid.UUID], now: datetime, fresh: Mapping[uuid.UUID, FreshVote] | None = None
) -> int:
    """Step every given check through all rounds that can be settled; return how many checks moved.

    Votes that others recorded while this transaction waited for the locks are seen, because a later statement reads
    them (READ COMMITTED). An error in one check becomes a dead letter and does not stop the others. Checks that a
    `fresh` vote merely continues take the fast path, which reads no runs.
    """
    locked = lock_states(check_ids)
    plan_of = plans([state.check_id for state in locked])
    liveness = region_liveness()
    moved = advance_unchanged(locked=locked, plan_of=plan_of, liveness=liveness, fresh=fresh or {}, now_ms=to_ms(now))
    rest = [s.check_id for s in locked if plan_of[s.check_id].is_active and s.check_id not in moved]
    return len(moved) + (_step(rest, plan_of, liveness, now) if rest else 0)


def _step(
    check_ids: Sequence[uuid.UUID], plan_of: Mapping[uuid.UUID, Plan], liveness: Mapping[int, Liveness], now: datetime
) -> int:
    """Step the checks whose votes must be read. The caller has locked their state rows."""
    active = list(CheckState.objects.filter(check_row_id__in=check_ids))
    wanted = [UnsettledSince(row.check_row_id, row.slot, plan_of[row.check_row_id].revision) for row in active]
    now_ms = to_ms(now)
    votes = unsettled_votes(wanted=wanted, now_ms=now_ms)
    together: list[CheckState] = []
    intervals: list[NewInterval] = []
    moved = 0
    for row in active:
        plan = plan_of[row.check_row_id]
        try:
            outcome = _derive(row, plan, votes[plan.id], liveness, now_ms)
            if outcome.after == outcome.before:
                continue
            if has_interval_events_only(outcome.events):
                begun = new_intervals(row=row, events=outcome.events)
                _note(outcome, begun[-1].start if begun else outcome.after.slot)
                intervals += begun
                together.append(row)
            else:
                with transaction.atomic():
                    _write(outcome, now)
            moved += 1
        except (OperationalError, InterfaceError):
            raise  # a failure of the database, not of the check
        except Exception as error:
            log.exception("check %s could not be evaluated", plan.id)
            add_evaluation_dead_letter(plan.id, error, now)
    put_intervals(intervals)
    _advance(together)
    return moved


def _derive(row: CheckState, plan: Plan, votes: list[Vote], liveness: Mapping[int, Liveness], now_ms: int) -> _Outcome:
    before, policy = state_of(row), policy_of(plan)
    rounds: dict[int, dict[int, str]] = defaultdict(dict)
    recorded: dict[int, int] = {}
    for vote in votes:
        if is_of_sequence(vote.slot, policy, row.extras):
            rounds[vote.slot][vote.region_id] = vote.verdict
            recorded[vote.slot] = min(vote.recorded_ms, recorded.get(vote.slot, vote.recorded_ms))
    after, events = derive(
        before,
        {slot: (recorded[slot], sides) for slot, sides in rounds.items()},
        policy,
        live_at=_live_at(plan.region_ids, liveness),
        now=now_ms,
        extras=row.extras,
        is_quiet=lambda slot: is_stale_news(slot, now_ms),
    )
    return _Outcome(row, plan, before, after, events, votes)


def _live_at(region_ids: Sequence[int], liveness: Mapping[int, Liveness]) -> Callable[[int], list[int]]:
    return lambda slot: [region for region in region_ids if region in liveness and liveness[region].is_live(slot)]


def _write(outcome: _Outcome, now: datetime) -> None:
    check = Check.objects.select_related("organization", "project", "resource").get(pk=outcome.plan.id)
    write_events(row=outcome.row, check=check, events=outcome.events, why_at=lambda slot: _why(outcome, slot), now=now)
    _note(outcome, turned_at(outcome.events, outcome.after))
    outcome.row.save()


def _note(outcome: _Outcome, since: int) -> None:
    why = None if outcome.after.status == "up" else _why(outcome, outcome.after.slot)
    apply_state_to_row(row=outcome.row, after=outcome.after, why=why, since=since)


def _why(outcome: _Outcome, until: int) -> Why | None:
    """Return the reason of the newest round up to `until` that has a problem, else the reason known before."""
    by_slot: dict[int, list[Vote]] = defaultdict(list)
    for vote in outcome.votes:
        if vote.slot <= until:
            by_slot[vote.slot].append(vote)
    for slot in sorted(by_slot, reverse=True):
        found = explain(by_slot[slot], outcome.after.status)
        if found is not None:
            return found
    if outcome.after.status == "unknown":
        return explain([], "unknown")
    return (outcome.row.reason, outcome.row.message) if outcome.row.reason else None


_ADVANCED = (
    ("due", "bigint"),
    ("slot", "bigint"),
    ("counted", "bigint"),
    ("status", "text"),
    ("since", "bigint"),
    ("own", "smallint"),
    ("shown", "smallint"),
    ("reason", "text"),
    ("message", "text"),
    ("streaks", "text"),
)


def _advance(rows: Sequence[CheckState]) -> None:
    """Write the states of checks whose incidents do not change, in one statement."""
    if not rows:
        return
    names = ", ".join(name for name, _ in _ADVANCED)
    values = ", ".join(f"n.{name}::bigint[]" if name == "streaks" else f"n.{name}" for name, _ in _ADVANCED)
    statement = (
        f"UPDATE incidents_checkstate AS s SET ({names}) = ROW ({values}) "  # noqa: S608  # literals
        f"FROM unnest(%s::uuid[], {', '.join(f'%s::{kind}[]' for _, kind in _ADVANCED)}) AS n (id, {names}) "
        "WHERE s.check_row_id = n.id"
    )
    columns: list[Any] = [[getattr(row, name) for row in rows] for name, _ in _ADVANCED]
    columns[-1] = ["{" + ",".join("NULL" if part is None else str(part) for part in row.streaks) + "}" for row in rows]
    with connection.cursor() as cursor:
        cursor.execute(statement, [[row.check_row_id for row in rows], *columns])


def add_evaluation_dead_letter(check_id: uuid.UUID, error: Exception, now: datetime) -> None:
    """Store a dead letter for a check, at most one in ten minutes: the sweep retries the check every two seconds."""
    recent = DeadLetter.objects.filter(
        check_id=check_id, created_at__gt=now - _DEAD_LETTER_PAUSE, origin=DeadLetter.Origin.EVALUATION
    )
    if not recent.exists():
        add_dead_letter(origin=DeadLetter.Origin.EVALUATION, error=repr(error), content="", now=now, check_id=check_id)


def evaluate_with_halving(
    *, check_ids: Sequence[uuid.UUID], now: datetime, fresh: Mapping[uuid.UUID, FreshVote] | None = None
) -> None:
    """Evaluate all checks together. Those that a shared statement fails on become dead letters, the others go on."""
    in_halves(
        check_ids,
        lambda part: evaluate_checks(check_ids=part, now=now, fresh=fresh if len(part) == len(check_ids) else None),
        lambda check_id, error: add_evaluation_dead_letter(check_id, error, now),
    )


def unevaluated_checks(*, now: datetime) -> list[uuid.UUID]:
    """Return checks with votes after their last settled slot and a due slot in the past.

    They are what a lost wake-up or a crash left.
    """
    statement = """
        SELECT c.id FROM monitors_check c JOIN incidents_checkstate s ON s.check_row_id = c.id
        WHERE c.deleted_at IS NULL AND NOT c.is_paused 
            AND (s.due < %(now)s - 1000 OR s.extras[array_upper(s.extras, 1)] > s.slot) AND EXISTS (
            SELECT 1 FROM check_runs r WHERE r.check_id = c.id AND r.slot > s.slot AND r.slot < %(now)s + 86400000
                AND r.revision = c.revision OFFSET 0)
        ORDER BY random() LIMIT %(limit)s
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, {"now": to_ms(now), "limit": _SWEEP_LIMIT})
        return [row[0] for row in cursor.fetchall()]
