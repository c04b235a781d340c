"""Receives the pings of heartbeats: many together if no status changes, else one by one under the state's lock."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction

from apps.core.arrays import array_of
from apps.core.clock import to_ms
from apps.incidents.heartbeat_machine import HeartbeatState
from apps.incidents.models import CheckState
from apps.incidents.rows import write_state
from apps.incidents.services.apply_events import has_interval_events_only, new_intervals
from apps.incidents.services.heartbeat_transition import (
    HeartbeatTransition,
    Ping,
    apply_ping,
    core_liveness,
    deadline_of,
    lock_transition,
    settle_missed_deadlines,
    transition_of,
    write_transition,
)
from apps.incidents.services.ping_batches import PingUpdate, keep_pings_with
from apps.monitors.models import Check
from apps.monitors.plans import PASSIVE_PLAN_COLUMNS, passive_plan_of
from apps.monitors.selectors import heartbeat_at
from apps.probes.registry import PASSIVE
from apps.results.partitions import ensure_partitions
from apps.results.stored_pings import StoredPing, keep_ping

log = logging.getLogger(__name__)


class MethodRefusedError(Exception):
    """The check accepts pings by POST only."""


def receive_ping(*, address: uuid.UUID, ping: Ping, clock: Callable[[], datetime]) -> None:
    """Receive a ping sent to `address`, a heartbeat's ping secret or, for one release, its id.

    Raises Check.DoesNotExist and MethodRefusedError.
    """
    if receive_pings_optimistically(pings=[(address, ping)], clock=clock) == [True]:
        return
    check_id = heartbeat_at(address)
    if check_id is None:
        raise Check.DoesNotExist
    try:
        _receive_locked(check_id, ping, clock)
    except IntegrityError:
        if not ensure_partitions(now=clock()):  # the host was suspended for longer than partitions are created ahead
            raise
        _receive_locked(check_id, ping, clock)


@transaction.atomic
def _receive_locked(check_id: uuid.UUID, ping: Ping, clock: Callable[[], datetime]) -> None:
    transition = lock_transition(check_id)
    if transition is None:
        raise Check.DoesNotExist
    if transition.options.methods == "post" and ping.method != "POST":
        raise MethodRefusedError
    now = clock()
    slot = max(to_ms(now), transition.state.slot + 1)
    if not transition.plan.is_paused:
        settle_missed_deadlines(transition, slot, to_ms(now), core_liveness(transition.plan.region_id, heard_at=to_ms(now)))
    stored = apply_ping(transition, ping, slot, to_ms(now))
    keep_ping(check_id=transition.plan.id, number=transition.row.pings, ping=stored)
    write_transition(transition, now)


@dataclass(frozen=True)
class _PingCandidate:
    """A ping, and the check's state before (as read without a lock) and after it."""

    place: int
    transition: HeartbeatTransition
    before: tuple[int, int, int]
    """Slot, due and number of pings as they were read: every command and every ping changes one of them."""
    heard: StoredPing


def receive_pings_optimistically(*, pings: Sequence[tuple[uuid.UUID, Ping]], clock: Callable[[], datetime]) -> list[bool]:
    """Receive the pings that change nothing but times and counts; return which ones were received.

    Two statements for all of them: one reads without a lock, one updates each state that is still as it was read.
    Nothing is done for the other pings.
    """
    heard = [False] * len(pings)
    rows = _read_unlocked([address for address, _ in pings])
    moves: list[_PingCandidate] = []
    taken: set[uuid.UUID] = set()
    now_ms = to_ms(clock())
    for place, (address, ping) in enumerate(pings):
        transition = _transition_of_row(rows[address]) if address in rows else None
        if transition is None or transition.row.pk in taken:
            continue
        move = _optimistic_update(place, transition, ping, now_ms)
        if move is not None:
            taken.add(transition.row.pk)
            moves.append(move)
    for place in _keep(moves, now_ms):
        heard[place] = True
    return heard


def _optimistic_update(place: int, transition: HeartbeatTransition, ping: Ping, now_ms: int) -> _PingCandidate | None:
    if transition.plan.is_paused or (transition.options.methods == "post" and ping.method != "POST"):
        return None
    before, status = (transition.state.slot, transition.state.due, transition.row.pings), transition.state.status
    slot, due = max(now_ms, transition.state.slot + 1), transition.due()
    if due is not None and due.at < slot:
        return None
    stored = apply_ping(transition, ping, slot, now_ms)
    is_steady = transition.state.status == status and has_interval_events_only(transition.events)
    if not is_steady or new_intervals(row=transition.row, events=transition.events) or transition.whys:
        return None
    return _PingCandidate(place, transition, before, stored)


_STATE = ("due", "slot", "level", "streaks", "counted", "opened", "opened_by", "last_notified", "status", "own", "shown")
_READ = f"""
    SELECT a.address, s.check_row_id, {", ".join(f"s.{name}" for name in _STATE)}, s.wait::text, s.pings, {PASSIVE_PLAN_COLUMNS}
    FROM unnest(%s::uuid[]) AS a (address)
    CROSS JOIN LATERAL (
        SELECT id FROM monitors_check WHERE ping_secret = a.address UNION ALL SELECT id FROM monitors_check WHERE id = a.address
        LIMIT 1
    ) AS named
    JOIN monitors_check c ON c.id = named.id JOIN incidents_checkstate s ON s.check_row_id = c.id
    WHERE c.deleted_at IS NULL AND c.kind = ANY (%s)
"""  # noqa: S608  # built of literals


def _read_unlocked(addresses: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, Sequence[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(_READ, [array_of(list(dict.fromkeys(addresses))), list(PASSIVE)])
        return {row[0]: row[1:] for row in cursor.fetchall()}


def _transition_of_row(columns: Sequence[Any]) -> HeartbeatTransition:
    check_id, *rest = columns
    wait, pings, *plan = rest[len(_STATE) :]
    row = CheckState(pk=check_id, pings=pings, **dict(zip(_STATE, rest, strict=False)))
    waits = HeartbeatState.read(None if wait is None else json.loads(wait))
    return transition_of(row, passive_plan_of(check_id, plan), waits)


def _keep(moves: Sequence[_PingCandidate], now_ms: int) -> list[int]:
    """Write the moves; return the places of those whose state was still as it had been read."""
    if not moves:
        return []
    ordered = sorted(moves, key=lambda move: move.transition.row.pk.int)  # rows are locked in id order, to avoid deadlocks
    moved = []
    for move in ordered:
        state, row = move.transition.state, move.transition.row
        write_state(row, state)
        after = (
            state.due,
            state.slot,
            state.counted,
            array_of(row.streaks),
            deadline_of(state),
            json.dumps(move.transition.wait.stored()),
        )
        run = move.transition.runs[0] if move.transition.runs else None
        moved.append(PingUpdate(row.pk, move.before, after, row.pings, move.heard, run))
    try:
        with transaction.atomic():
            kept = keep_pings_with(moved, now_ms=now_ms)
    except (IntegrityError, OperationalError) as error:  # no partition, or a deadlock: one by one
        log.debug("a batch of pings is heard one by one: %s", error)
        if not connection.is_usable():
            raise
        return []
    return [move.place for move in ordered if move.transition.row.pk in kept]
