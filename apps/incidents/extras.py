"""Extra (unscheduled) slots of a check: one on create, edit and resume, and one per "run now". Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from apps.incidents.machine import Policy, State, is_of_sequence, overdue_after

KEPT = 10
_SAME_PRESS_MS = 5_000


def new_extra(state: State, policy: Policy, extras: Sequence[int], now: int) -> int:
    """Return the slot of an extra run at `now` (epoch ms): after the last settled slot and unlike every other slot."""
    slot = max(now, state.slot + 1)
    while is_of_sequence(slot, policy, extras):
        slot += 1
    return slot


def reusable_extra(state: State, policy: Policy, extras: Sequence[int], now: int) -> int | None:
    """Return the extra slot that a repeated "run now" reuses, or None.

    That is the newest one, if it is neither settled nor timed out or was made within the last five seconds.
    """
    newest = max(extras, default=None)
    if newest is None:
        return None
    is_open = newest > state.slot and now < overdue_after(newest, policy)
    return newest if is_open or now - newest < _SAME_PRESS_MS else None


def kept(extras: Sequence[int], slot: int) -> list[int]:
    """Return the extra slots with `slot` added; only the newest ten are kept."""
    return sorted([*extras, slot])[-KEPT:]
