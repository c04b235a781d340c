"""Generates the demo's history: runs (in SQL, one statement per day), intervals, incidents and rollups."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from apps.core.clock import DAY_MS, HOUR_MS, from_ms, to_ms
from apps.demo.plan import Outage
from apps.incidents.models import CheckState, Incident, Severity
from apps.monitors.models import Check
from apps.orgs.models import User
from apps.probes.reasons import MEANINGS, Reason
from apps.results import rollups
from apps.results.models import HEALTHS, RollupCursor, StateInterval
from apps.results.partitions import ensure_days

STEP_MS = 60_000
"""Generated runs are a minute apart."""
_REVISION = 0
"""No check ever has this revision, so that generated runs never step the state machine."""

# Latency has a daily wave, noise and a few slow runs. `setseed` makes it reproducible.
_RUNS = """
    INSERT INTO check_runs (check_id, slot, region_id, revision, started_after_ms, duration_ms, recorded_after_s, dns_ms,
        connect_ms, first_byte_ms, verdict, code, reason, facts)
    SELECT r.id, r.slot, r.region_id, %(revision)s, 1, r.ms, 0, 0.4, CASE WHEN r.is_tcp THEN r.ms ELSE 0.6 END,
        CASE WHEN NOT r.is_tcp AND coalesce(o.code, 200) > 0 THEN r.ms * 0.9 END,
        CASE WHEN o.id IS NULL THEN 1 WHEN o.is_down THEN 3 ELSE 2 END,
        CASE WHEN r.is_tcp THEN NULL ELSE nullif(coalesce(o.code, 200), 0) END, o.reason,
        CASE WHEN o.id IS NOT NULL THEN jsonb_build_object('message', o.message) END
    FROM (
        SELECT c.id, c.region_id, c.is_tcp, s AS slot, greatest(1, (c.base * (0.82 + 0.36 * random() ^ 2
            + 0.12 * sin(2 * pi() * s / 86400000.0) + CASE WHEN random() < 0.015 THEN 3 * random() ELSE 0 END)))::integer AS ms
        FROM unnest(%(ids)s::uuid[], %(bases)s::integer[], %(regions)s::smallint[], %(tcp)s::boolean[])
            AS c (id, base, region_id, is_tcp)
        CROSS JOIN generate_series(%(start)s::bigint, %(end)s::bigint - 1, %(step)s::bigint) AS s
    ) AS r
    LEFT JOIN unnest(%(o_ids)s::uuid[], %(o_starts)s::bigint[], %(o_ends)s::bigint[], %(o_down)s::boolean[],
        %(o_codes)s::integer[], %(o_reasons)s::text[], %(o_messages)s::text[])
        AS o (id, start, until, is_down, code, reason, message)
        ON o.id = r.id AND r.slot >= o.start AND r.slot < o.until
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Past:
    """A check, its usual latency and its outages: the input of its generated history."""

    check: Check
    base_ms: int
    outages: Sequence[Outage]


def seed_runs(*, pasts: Sequence[Past], start: datetime, until: datetime) -> int:
    """Insert a run for each check and minute of [start, until), creating partitions. Returns the number of runs."""
    first = to_ms(start) // DAY_MS * DAY_MS
    days = -(-(to_ms(until) - first) // DAY_MS)
    ensure_days(first=from_ms(first), days=days)
    written = 0
    for day in range(days):
        begin = first + day * DAY_MS
        written += _seed_day(pasts, max(begin, to_ms(start) // STEP_MS * STEP_MS), min(begin + DAY_MS, to_ms(until)))
    return written


def _seed_day(pasts: Sequence[Past], start: int, end: int) -> int:
    bad = [(past.check.pk, outage) for past in pasts for outage in past.outages if outage.start < end and outage.end > start]
    parameters: dict[str, Any] = {
        "revision": _REVISION,
        "ids": [past.check.pk for past in pasts],
        "bases": [past.base_ms for past in pasts],
        "regions": [past.check.region_ids[0] for past in pasts],
        "tcp": [past.check.kind != "http" for past in pasts],
        "start": start,
        "end": end,
        "step": STEP_MS,
        "o_ids": [pk for pk, _ in bad],
        "o_starts": [outage.start for _, outage in bad],
        "o_ends": [outage.end for _, outage in bad],
        "o_down": [outage.is_down for _, outage in bad],
        "o_codes": [outage.code for _, outage in bad],
        "o_reasons": [outage.reason for _, outage in bad],
        "o_messages": [outage.message for _, outage in bad],
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '120s'")
        cursor.execute("SELECT setseed(%s)", [(start // DAY_MS % 1000) / 1000])
        cursor.execute(_RUNS, parameters)
        return int(cursor.rowcount)


def seed_states(*, pasts: Sequence[Past], start: datetime) -> None:
    """Insert the intervals and incidents that the machine would have made, and update the state rows accordingly."""
    up = HEALTHS.index("up")
    intervals, incidents = [], []
    for past in sorted(pasts, key=lambda past: past.check.pk):  # the order in which state rows are locked everywhere
        found = {to_ms(start): up}
        for outage in past.outages:
            found[outage.start] = HEALTHS.index("down" if outage.is_down else "degraded")
            found[outage.end] = up
            incidents.append(_incident(past.check, outage))
        intervals += [StateInterval(check_id=past.check.pk, start=at, own=state, shown=state) for at, state in found.items()]
        since = past.outages[-1].end if past.outages else to_ms(start)
        CheckState.objects.filter(check_row=past.check).update(own=up, shown=up, status="up", since=since)
    StateInterval.objects.bulk_create(intervals, batch_size=5_000)
    Incident.objects.bulk_create(incidents, batch_size=2_000)


def _incident(check: Check, outage: Outage) -> Incident:
    words = MEANINGS[Reason(outage.reason)].words
    return Incident(
        organization_id=check.organization_id,
        project_id=check.project_id,
        check_row=check,
        title=f"{check.name}: {words[0].lower()}{words[1:]}",
        severity=Severity.DOWN if outage.is_down else Severity.WARN,
        status=Incident.Status.RESOLVED,
        started_at=from_ms(outage.start),
        resolved_at=from_ms(outage.end),
        downtime_ms=outage.end - outage.start if outage.is_down else 0,
        reason=outage.reason,
        message=outage.message,
    )


def acknowledge_some(*, checks: Sequence[uuid.UUID], user: User, chance: random.Random) -> None:
    """Acknowledge most of the past incidents that lasted longer than four minutes, as people would have done."""
    seen = []
    for incident in Incident.objects.filter(check_row__in=checks, status=Incident.Status.RESOLVED):
        length = incident.length_s or 0
        if length > 240 and chance.random() < 0.8:
            incident.acknowledged_at = incident.started_at + timedelta(seconds=min(length / 2, chance.uniform(40, 600)))
            incident.acknowledged_by = user
            seen.append(incident)
    Incident.objects.bulk_update(seen, ["acknowledged_at", "acknowledged_by"], batch_size=500)


def seed_rollups(*, checks: Sequence[uuid.UUID], start: datetime, until: datetime) -> None:
    """Compute the hour and day rollups of these checks, as the pipeline would have done."""
    hours_until, days_until = (to_ms(until) // width * width for width in (HOUR_MS, DAY_MS))
    for day in range(to_ms(start) // DAY_MS * DAY_MS, hours_until, DAY_MS):
        rollups.roll("hour", checks, day, min(day + DAY_MS, hours_until))
        if day + DAY_MS <= days_until:
            rollups.roll("day", checks, day)
    for span, done in (("hour", hours_until), ("day", days_until)):
        RollupCursor.objects.get_or_create(span=span, defaults={"done_until": done})
