"""What a heartbeat's page shows in addition to that of every check: its ping URL, recent pings and due times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.core.clock import from_ms
from apps.incidents.heartbeat_machine import HeartbeatState, Preview
from apps.incidents.selectors import due_times_of
from apps.monitors.models import Check
from apps.monitors.selectors import ping_url
from apps.results.models import Ping
from apps.results.pings import newest_pings

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
class Beat:
    url: str
    deadline: datetime | None
    running_since: list[datetime]
    pings: list[PingLine]
    times: list[tuple[datetime, datetime]]
    is_timed: bool
    """Whether recent pings have a run time, which takes a start signal."""


def beat_of(check: Check, now: datetime, *, may_ping: bool) -> Beat:
    state = check.state
    begun = HeartbeatState.read(state.wait).begun if state.wait else ()
    pings = newest_pings(check_id=check.pk, count=_PINGS_SHOWN)
    return Beat(
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
