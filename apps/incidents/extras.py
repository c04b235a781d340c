"""Extra slots of a check, pure: one at now after create, edit and resume, and one per "run now"."""

from __future__ import annotations

from collections.abc import Sequence

from apps.incidents.machine import SLACK_MS, Policy, State, is_of_sequence

KEPT = 10
_SAME_PRESS_MS = 5_000


def new_extra(state: State, policy: Policy, extras: Sequence[int], now: int) -> int:
    """The slot of an extra run at `now`: after the last settled slot, and not on another slot of the check."""
    slot = max(now, state.slot + 1)
    while is_of_sequence(slot, policy, extras):
        slot += 1
    return slot


def open_extra(state: State, policy: Policy, extras: Sequence[int], now: int) -> int | None:
    """The extra slot that a further press gets too: one not settled and not given up, or one of the last five seconds."""
    newest = max(extras, default=None)
    if newest is None:
        return None
    is_open = newest > state.slot and now - newest < policy.timeout + SLACK_MS
    return newest if is_open or now - newest < _SAME_PRESS_MS else None


def kept(extras: Sequence[int], slot: int) -> list[int]:
    return sorted([*extras, slot])[-KEPT:]
