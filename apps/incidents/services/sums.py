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

_CHUNK = 500
_SPAN = "sums"


def sum_settled_days(*, now: datetime, steps: int) -> int:
    """At most so many steps, some checks each, of the hour's round through all of them. Returns how many were made."""
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
    ids = _behind(cursor.after)
    # Locked, so that nothing is painted between the reading of intervals and the writing of their sums; by id, as everywhere.
    states = CheckState.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    sum_days(settled={state.pk: state.due for state in states})
    if len(ids) < _CHUNK:
        cursor.done_until, cursor.after = now_ms // HOUR_MS * HOUR_MS + HOUR_MS, None
    else:
        cursor.after = ids[-1]
    cursor.save(update_fields=["done_until", "after"])
    return True


_BEHIND = f"""
    SELECT s.check_row_id FROM incidents_checkstate AS s
    CROSS JOIN LATERAL (SELECT start FROM results_stateinterval WHERE check_id = s.check_row_id ORDER BY start LIMIT 1) AS first
    LEFT JOIN LATERAL (SELECT day FROM results_daysum WHERE check_id = s.check_row_id ORDER BY day DESC LIMIT 1) AS last ON true
    WHERE s.check_row_id > %(after)s AND s.due >= coalesce(last.day + {DAY_MS}, first.start / {DAY_MS} * {DAY_MS}) + {DAY_MS}
    ORDER BY s.check_row_id LIMIT {_CHUNK}
"""  # noqa: S608  # literals


def _behind(after: uuid.UUID | None) -> list[uuid.UUID]:
    """Checks that have settled a day whose sums are missing."""
    with connection.cursor() as database:
        database.execute(_BEHIND, {"after": after or uuid.UUID(int=0)})
        return [row[0] for row in database.fetchall()]
