"""What passive checks heard: the newest pings of each, in a ring, so that a chatty job costs no more than a silent one."""

from __future__ import annotations

import uuid
from dataclasses import astuple, dataclass

from django.db import connection

from apps.results.models import Ping

KEPT = 200
"""Pings of a check."""
BODY_BYTES = 10_000
"""Of each; what a job says beyond is not kept."""


@dataclass(frozen=True)
class HeardPing:
    """A ping as it is kept; milliseconds."""

    at_ms: int
    signal: str
    rid: str
    exit_code: int | None
    runtime_ms: int | None
    others: int
    method: str
    agent: str
    address: str
    body: str


_COLUMNS = "number, at_ms, signal, rid, exit_code, runtime_ms, others, method, agent, address, body"
_KEEP = f"""
    INSERT INTO results_ping (check_id, place, {_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (check_id, place) DO UPDATE SET ({_COLUMNS}) = ROW ({", ".join(f"EXCLUDED.{c}" for c in _COLUMNS.split(", "))})
"""  # noqa: S608  # literals


def keep_ping(*, check_id: uuid.UUID, number: int, ping: HeardPing) -> None:
    """Under the lock of the check's state, which counts the pings."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [check_id, number % KEPT, number, *astuple(ping)])


def newest_pings(*, check_id: uuid.UUID, count: int) -> list[Ping]:
    return list(Ping.objects.filter(check_id=check_id).order_by("-number")[:count])
