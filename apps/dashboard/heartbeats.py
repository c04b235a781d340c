"""What a heartbeat's page shows in addition to that of every check: its ping URL, recent pings and due times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from apps.core.clock import from_ms, to_ms
from apps.incidents.heartbeat_machine import HeartbeatState, Preview, preview
from apps.incidents.selectors import due_times_of
from apps.monitors.models import Check
from apps.monitors.selectors import ping_url
from apps.probes.registry import KINDS
from apps.results.models import Ping
from apps.results.stored_pings import newest_pings

_PINGS_SHOWN = 20
_TIMES_SHOWN = 5
_WORDS = {"success": "up", "start": "pending", "fail": "down", "log": "unknown"}


@dataclass(frozen=True)
class PingLine:
    ping: Ping
    at: datetime
    state: str
    """The status whose mark it is shown with."""


@dataclass(frozen=True)
class HeartbeatPanel:
    url: str
    deadline: datetime | None
    running_since: list[datetime]
    pings: list[PingLine]
    times: list[tuple[datetime, datetime]]
    is_timed: bool
    """Whether recent pings have a run time, which takes a start signal."""


def heartbeat_panel(check: Check, now: datetime, *, may_ping: bool) -> HeartbeatPanel:
    state = check.state
    begun = HeartbeatState.read(state.wait).begun
    pings = newest_pings(check_id=check.pk, count=_PINGS_SHOWN)
    return HeartbeatPanel(
        url=(ping_url(check) or "") if may_ping else "",
        deadline=None if state.deadline is None else from_ms(state.deadline),
        running_since=[from_ms(run.last) for run in begun],
        pings=[PingLine(ping, from_ms(ping.at_ms), _WORDS[ping.signal]) for ping in pings],
        times=shown_times(due_times_of(check=check, row=state, now=now, count=_TIMES_SHOWN)),
        is_timed=any(ping.runtime_ms is not None for ping in pings),
    )


def shown_times(times: list[Preview]) -> list[tuple[datetime, datetime]]:
    """Return pairs of datetimes: when a ping is expected, and from when it is missing."""
    return [(from_ms(time.expected), from_ms(time.missing_from)) for time in times]


def typical_gap_ms(check: Check, now: datetime) -> int:
    """Return the shortest gap between the next times at which a passive check is expected."""
    options = KINDS[check.kind].parse(check.target, check.options)
    times = [time.expected for time in preview(options, check.interval_ms, after=to_ms(now), count=_TIMES_SHOWN)]
    return min(later - earlier for earlier, later in pairwise(times))
