"""Converts between database rows and the values of the state machine."""

from __future__ import annotations

from apps.incidents.heartbeat_machine import HeartbeatState
from apps.incidents.machine import Level, Policy, State, Streak
from apps.incidents.models import CheckState
from apps.monitors.models import Check
from apps.monitors.plans import Plan

NEVER_MS = 253_402_300_799_000
"""The `due` of a passive check that waits for its first signal: the end of the year 9999."""


def state_of(row: CheckState) -> State:
    flat = row.streaks
    streaks = tuple(Streak(flat[i] or 0, flat[i + 1]) for i in range(0, 8, 2))
    level, last_notified = Level(row.level), Level(row.last_notified)
    return State(row.due, row.slot, level, streaks, row.counted, row.opened, row.opened_by, last_notified, row.status)


def write_state(row: CheckState, state: State) -> None:
    """Copy the state to the row's attributes; the caller saves the row."""
    row.due, row.slot, row.level, row.last_notified = state.due, state.slot, int(state.level), int(state.last_notified)
    row.streaks = [part for streak in state.streaks for part in (streak.count, streak.first)]
    row.counted, row.opened, row.opened_by, row.status = state.counted, state.opened, state.by, state.status


def new_state_row(check: Check, *, first_slot: int | None, now_ms: int) -> CheckState:
    """Return the unsaved state row of a new check. `first_slot` is its first slot; None if it waits for a signal."""
    row = CheckState(check_row=check, since=now_ms)
    if first_slot is None:
        write_state(row, State(due=NEVER_MS, slot=now_ms - 1))
        row.wait = HeartbeatState().stored()
    else:
        write_state(row, State(due=first_slot, slot=first_slot - 1))
    return row


def policy_of(check: Check | Plan) -> Policy:
    return Policy(
        interval=check.interval_ms,
        timeout=check.timeout_ms,
        fail_after=check.fail_after,
        recover_after=check.recover_after,
        quorum=check.quorum,
        phase=check.phase_ms,
        since=check.since_ms,
    )
