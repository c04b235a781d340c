"""Sums of whole days, so that uptime over a year reads days, and not every interval of a check that flaps.

A day is summed once all of it is settled. What is painted later (a confirmation, a recovery) takes the sums from its day on
away, and the next round makes them anew. A day without sums is read from its intervals: the figure is the same.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import connection, transaction

from apps.core.clock import to_ms
from apps.incidents.models import CheckState
from apps.results.models import RollupCursor
from apps.results.rollups import HOUR_MS
from apps.results.runs import DAY_MS
from apps.results.sums import sum_days

_CHUNK = 100
_SPAN = "sums"
_OVER_MS = 60_000
"""A day is over for that long before it is summed: an act whose moment was read before it waited for the lock may still come."""


def sum_settled_days(*, now: datetime, steps: int) -> int:
    """At most so many steps, some checks and days each, of the hour's round through all of them. Returns how many were made."""
    made = 0
    while made < steps and _sum_chunk(to_ms(now)):
        made += 1
    return made


@transaction.atomic
def _sum_chunk(now_ms: int) -> bool:
    RollupCursor.objects.get_or_create(span=_SPAN, defaults={"done_until": 0})
    cursor = RollupCursor.objects.select_for_update().get(span=_SPAN)
    if cursor.done_until > now_ms:
        return False
    over = now_ms - _OVER_MS
    ids = _behind(cursor.after, over)
    # Locked, so that nothing is painted between the reading of intervals and the writing of their sums; by id, as everywhere.
    states = CheckState.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    # The first slot that is not settled may lie ahead: the deadline of a heartbeat, or the next run of a rare check.
    sum_days(settled={state.pk: min(state.due, over, *(slot for slot in state.extras if slot > state.slot)) for state in states})
    cursor.after = ids[-1] if len(ids) == _CHUNK else None
    if cursor.after is None and not _behind(None, over):  # else some have more days to go
        cursor.done_until = now_ms // HOUR_MS * HOUR_MS + HOUR_MS
    cursor.save(update_fields=["done_until", "after"])
    return True


_BEHIND = f"""
    SELECT s.check_row_id FROM incidents_checkstate AS s
    CROSS JOIN LATERAL (SELECT start FROM results_stateinterval WHERE check_id = s.check_row_id ORDER BY start LIMIT 1) AS first
    LEFT JOIN LATERAL (SELECT day FROM results_daysum WHERE check_id = s.check_row_id ORDER BY day DESC LIMIT 1) AS last ON true
    WHERE s.check_row_id > %(after)s
        AND least(s.due, %(over)s, (SELECT min(extra) FROM unnest(s.extras) AS extra WHERE extra > s.slot))
            >= coalesce(last.day + {DAY_MS}, first.start / {DAY_MS} * {DAY_MS}) + {DAY_MS}
    ORDER BY s.check_row_id LIMIT {_CHUNK}
"""  # noqa: S608  # literals


def _behind(after: uuid.UUID | None, over: int) -> list[uuid.UUID]:
    """Checks that have settled a day whose sums are missing, and that was over by then."""
    with connection.cursor() as database:
        database.execute(_BEHIND, {"after": after or uuid.UUID(int=0), "over": over})
        return [row[0] for row in database.fetchall()]
