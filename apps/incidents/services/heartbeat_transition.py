"""Steps a heartbeat from its state before to the one after: settles deadlines, applies a ping, writes rows.

`heartbeat_machine` decides what a signal or a missed deadline means, `machine.step` what follows from it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from apps.core.clock import DAY_MS, from_ms, to_ms
from apps.incidents.explanations import Why
from apps.incidents.heartbeat_machine import Deadline, HeartbeatState, Signal, deadline, on_ping, passed
from apps.incidents.machine import Event, Policy, Round, State, is_stale_news, step
from apps.incidents.models import CheckState
from apps.incidents.rows import NEVER_MS, state_of
from apps.incidents.services.apply_events import (
    apply_state_to_row,
    has_interval_events_only,
    new_intervals,
    turned_at,
    write_events,
)
from apps.monitors.liveness import Liveness
from apps.monitors.models import Check, Region
from apps.monitors.plans import PassivePlan, passive_plan
from apps.monitors.selectors import liveness_of
from apps.probes import wire
from apps.probes.contract import Facts
from apps.probes.reasons import Reason, Verdict
from apps.probes.registry import KINDS
from apps.results.models import UNTIMED
from apps.results.partitions import ensure_days
from apps.results.record_runs import RecordedRun, record_runs
from apps.results.state_intervals import put_intervals
from apps.results.stored_pings import StoredPing

_NO_GAP = 2**62
"""Interval for the machine: pings are irregular, so that no gap between two of them ends a streak."""
_STEPS = 50
"""Missed deadlines settled one by one in a transaction; the rest of a longer backlog becomes one round."""
_AT_HAND_MS = DAY_MS
"""The partitions for runs up to this age exist in any case."""
_WORDS = 200
"""Maximum number of characters of the job's last output line in a reason."""
_SHOWN = 2_000
"""Maximum number of characters of the body in a run's facts; the stored ping has the whole body."""


@dataclass(frozen=True)
class Ping:
    """A received ping. `rid` is empty if none was sent; the body is already truncated."""

    signal: Signal
    method: str
    agent: str
    address: str
    rid: str = ""
    exit_code: int | None = None
    body: str = ""


@dataclass
class HeartbeatTransition:
    """A heartbeat while it is stepped: the state so far, and the events, reasons and runs to be written."""

    row: CheckState
    plan: PassivePlan
    options: Any
    state: State
    wait: HeartbeatState
    events: list[Event] = field(default_factory=list)
    whys: dict[int, Why] = field(default_factory=dict)
    runs: list[RecordedRun] = field(default_factory=list)

    def due(self) -> Deadline | None:
        return deadline(self.wait, self.options, self.plan.interval_ms)

    def step(self, slot: int, verdict: str, now_ms: int) -> None:
        """Apply a settled round. `wait` must be up to date, because the round lasts until its next deadline."""
        until = max(self._due_ms(), slot + 1)
        policy = Policy(_NO_GAP, 0, self.plan.fail_after, self.plan.recover_after)
        rnd = Round(slot, until, verdict, is_quiet=is_stale_news(slot, now_ms))
        self.state, events = step(replace(self.state, due=slot), rnd, policy)
        self.events += events

    def wait_on(self) -> None:
        """Update `state.due` to the next deadline after a signal that settled no round."""
        self.state = replace(self.state, due=max(self._due_ms(), self.state.slot + 1))

    def _due_ms(self) -> int:
        due = self.due()
        return NEVER_MS if due is None else due.at

    def record(self, slot: int, verdict: Verdict, why: tuple[Reason, str] | None, duration_ms: int, facts: Facts) -> None:
        reason, message = why or (None, "")
        run = wire.Run(self.plan.id, self.plan.revision, slot, slot, duration_ms, verdict, reason, message, facts)
        is_news = verdict != Verdict.UP or self.state.status != "up"
        self.runs.append(RecordedRun(run, self.plan.region_id, keeps_facts=is_news))
        if reason is not None:
            self.whys[slot] = (reason.value, message)


def lock_transition(check_id: uuid.UUID) -> HeartbeatTransition | None:
    row = CheckState.objects.select_for_update().filter(pk=check_id).first()
    plan = passive_plan(check_id) if row is not None else None  # read after the lock, to see edits committed meanwhile
    if row is None or plan is None:
        return None
    return transition_of(row, plan, HeartbeatState.read(row.wait))


def transition_of(row: CheckState, plan: PassivePlan, wait: HeartbeatState) -> HeartbeatTransition:
    return HeartbeatTransition(row, plan, _options(plan.kind, json.dumps(plan.options, sort_keys=True)), state_of(row), wait)


@lru_cache(maxsize=20_000)
def _options(kind: str, encoded: str) -> Any:
    """Parse a check's options, cached: parsing would be a third of the cost of a ping."""
    return KINDS[kind].parse("", json.loads(encoded))


def settle_missed_deadlines(transition: HeartbeatTransition, until: int, now_ms: int, core: Callable[[], Liveness]) -> None:
    """Settle the deadlines before `until` (epoch ms).

    A deadline at which pings could not reach the core is recorded as unknown; one for which that cannot be told yet is
    left for later.
    """
    steps = 0
    while (due := transition.due()) is not None and due.at < until:
        could_hear = core().covers(due.at, now_ms)
        if could_hear is None:
            return
        steps += 1
        slot = max(due.at, transition.state.slot + 1)  # two runs may overrun at the same millisecond
        transition.wait = passed(transition.wait, due)
        if not could_hear:
            _skip(transition, min(until, _silent_until(core(), due.at, until)))
            why = (Reason.NO_RESULT, "the deadline passed while we could not be reached")
            transition.record(slot, Verdict.UNKNOWN, why, UNTIMED, {})
            transition.step(slot, "unknown", now_ms)
            continue
        if steps > _STEPS:
            _skip(transition, until)
        facts = {"expected_at": _timestamp(due.expected), "run": due.rid}
        transition.record(slot, Verdict.DOWN, (due.reason, _said(due)), UNTIMED, facts)
        transition.step(slot, "down", now_ms)


def core_liveness(region_id: int, *, heard_at: int | None = None) -> Callable[[], Liveness]:
    """Return a function that reads the core's liveness once, when first needed.

    `heard_at` is the time of a ping that just arrived, which proves that the core can be reached.
    """

    @cache
    def read() -> Liveness:
        known = liveness_of(Region.objects.get(pk=region_id))
        return known if heard_at is None else known.heard(heard_at)

    return read


def _skip(transition: HeartbeatTransition, until: int) -> None:
    """Advance `wait` past all deadlines before `until` without settling them: a long silence is one round."""
    while (due := transition.due()) is not None and due.at < until:
        transition.wait = passed(transition.wait, due)


def _silent_until(core: Liveness, at: int, now_ms: int) -> int:
    """Return the end of the core's silence that contains `at`, or `now_ms` if it may still last."""
    is_over = core.last_sent is not None and core.last_sent >= at
    return (core.silent_until or now_ms) if is_over else now_ms


def _said(due: Deadline) -> str:
    if due.rid is None:
        return f"expected at {_clock(due.expected)}, nothing came by {_clock(due.at)}"
    return f"began at {_clock(due.expected)} and has not ended after {(due.at - due.expected) / 1000:.0f} s"


def _clock(moment_ms: int) -> str:
    return f"{from_ms(moment_ms):%Y-%m-%d %H:%M:%S} UTC"


def _timestamp(moment_ms: int) -> str:
    return from_ms(moment_ms).isoformat().replace("+00:00", "Z")


def apply_ping(transition: HeartbeatTransition, ping: Ping, slot: int, now_ms: int) -> StoredPing:
    """Apply a ping and return the row to store for it.

    A success or failure becomes a round. A ping to a paused check is only counted and stored.
    """
    said = on_ping(transition.wait, ping.signal, ping.rid, slot)
    number = transition.row.pings = transition.row.pings + 1
    about = StoredPing(
        slot, ping.signal.value, ping.rid, ping.exit_code, said.runtime, said.others,
        ping.method, ping.agent, ping.address, ping.body,
    )  # fmt: skip
    if transition.plan.is_paused:
        return about
    transition.wait = said.wait
    if said.verdict is None:
        transition.wait_on()
        return about
    verdict, why = _judged(ping, said.verdict, said.runtime, transition.options.degraded_ms)
    facts = {"ping": number, "run": ping.rid or None, "exit_code": ping.exit_code, "address": ping.address, "others": said.others}
    facts |= {"runtime_ms": said.runtime} | ({"body": ping.body[:_SHOWN]} if ping.body else {})
    transition.record(
        slot,
        verdict,
        why,
        UNTIMED if said.runtime is None else min(said.runtime, 2**31 - 1),
        {name: value for name, value in facts.items() if value is not None},
    )
    transition.step(slot, verdict.value, now_ms)
    return about


def _judged(
    ping: Ping, verdict: Verdict, runtime: int | None, degraded_ms: int | None
) -> tuple[Verdict, tuple[Reason, str] | None]:
    if verdict == Verdict.DOWN:
        last = next((line.strip() for line in reversed(ping.body.splitlines()) if line.strip()), "")
        code = "it said so" if ping.exit_code is None else f"exit code {ping.exit_code}"
        return verdict, (Reason.HEARTBEAT_FAILED, f"{code}: {last[:_WORDS]}" if last else code)
    if degraded_ms is not None and runtime is not None and runtime > degraded_ms:
        return Verdict.DEGRADED, (Reason.TOO_SLOW, f"[runtime] ({runtime} ms) <= {degraded_ms} ms")
    return verdict, None


def write_transition(transition: HeartbeatTransition, now: datetime) -> None:
    """Write the runs, the state, and the intervals, incidents and notifications that follow."""
    row = transition.row
    for recorded in transition.runs:  # a deadline may lie in a day without a partition
        if recorded.run.slot < to_ms(now) - _AT_HAND_MS:
            ensure_days(first=from_ms(recorded.run.slot), days=1)
    record_runs(rows=transition.runs, now_ms=to_ms(now))
    if has_interval_events_only(transition.events):
        begun = new_intervals(row=row, events=transition.events)
        put_intervals(begun)
        since = begun[-1].start if begun else transition.state.slot
    else:
        check = Check.objects.select_related("organization", "project", "resource").get(pk=row.pk)
        write_events(row=row, check=check, events=transition.events, why_at=transition.whys.get, now=now)
        since = turned_at(transition.events, transition.state)
    apply_state_to_row(row=row, after=transition.state, why=transition.whys.get(transition.state.slot), since=since)
    row.wait = transition.wait.stored()
    if not transition.plan.is_paused:
        row.deadline = deadline_of(transition.state)
    row.save()


def deadline_of(state: State) -> int | None:
    return None if state.due == NEVER_MS else state.due
