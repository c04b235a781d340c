"""Sums of whole days, so that uptime over a year need not read every interval of a check that flaps.

A day is summed once all of it is settled. If its intervals change later (an incident is confirmed or resolved), the
sums from that day on are deleted and the next round computes them again. A day without sums is computed from its
intervals, with the same result.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import connection, transaction

from apps.core.clock import DAY_MS, HOUR_MS, to_ms
from apps.incidents.models import CheckState
from apps.results.daily_sums import sum_days
from apps.results.models import RollupCursor

_CHUNK = 100
_SPAN = "sums"
_OVER_MS = 60_000
"""A day is summed only this long after its end.

A command that read its time before it waited for the lock may still change the end of the day.
"""


def sum_settled_days(*, now: datetime, steps: int) -> int:
    """Make at most `steps` steps of the hourly round over all checks; return how many were made.

    A step is one transaction for some checks and days.
    """
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
    # Locked, so that no interval changes between reading the intervals and writing the sums; in id order.
    states = CheckState.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    # `due` may lie in the future: the deadline of a heartbeat, or the next run of a check with a long interval.
    sum_days(settled={state.pk: min(state.due, over, *(slot for slot in state.extras if slot > state.slot)) for state in states})
    cursor.after = ids[-1] if len(ids) == _CHUNK else None
    if cursor.after is None and not _behind(None, over):  # else some checks have more days to sum
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
    """Return checks that have a settled day without sums which ended before `over` (epoch ms)."""
    with connection.cursor() as database:
        database.execute(_BEHIND, {"after": after or uuid.UUID(int=0), "over": over})
        return [row[0] for row in database.fetchall()]
