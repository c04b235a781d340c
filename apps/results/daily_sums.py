"""Milliseconds per shown state of a check on whole days: written once a day is settled, deleted when it changes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from django.db import connection

from apps.core.clock import DAY_MS
from apps.results.models import DaySum

_DAYS_AT_ONCE = 10
_SUM = f"""
    WITH asked AS (
        SELECT c.id, c.due, coalesce(last.day + {DAY_MS}, first.start / {DAY_MS} * {DAY_MS}) AS day
        FROM unnest(%(checks)s::uuid[], %(dues)s::bigint[]) AS c (id, due)
        CROSS JOIN LATERAL (SELECT start FROM results_stateinterval WHERE check_id = c.id ORDER BY start LIMIT 1) AS first
        LEFT JOIN LATERAL (SELECT day FROM results_daysum WHERE check_id = c.id ORDER BY day DESC LIMIT 1) AS last ON true
    )
    INSERT INTO results_daysum (check_id, day, unknown, up, degraded, down)
    SELECT asked.id, d.day, coalesce(sum(ms) FILTER (WHERE shown = 0), 0), coalesce(sum(ms) FILTER (WHERE shown = 1), 0),
        coalesce(sum(ms) FILTER (WHERE shown = 2), 0), coalesce(sum(ms) FILTER (WHERE shown = 3), 0)
    FROM asked
    CROSS JOIN LATERAL generate_series(
        asked.day, least(asked.due / {DAY_MS} * {DAY_MS} - {DAY_MS}, asked.day + {_DAYS_AT_ONCE - 1} * {DAY_MS}::bigint), {DAY_MS}
    ) AS d (day)
    CROSS JOIN LATERAL (
        SELECT shown,
            least(coalesce(lead(start) OVER (ORDER BY start), asked.due), d.day + {DAY_MS}) - greatest(start, d.day) AS ms
        FROM (
            (SELECT start, shown FROM results_stateinterval
            WHERE check_id = asked.id AND start <= d.day ORDER BY start DESC LIMIT 1)
            UNION ALL
            SELECT start, shown FROM results_stateinterval
            WHERE check_id = asked.id AND start > d.day AND start < d.day + {DAY_MS}
        ) AS begun
    ) AS parts
    GROUP BY asked.id, d.day
"""  # noqa: S608  # literals


def sum_days(*, settled: Mapping[uuid.UUID, int]) -> None:
    """Sum up to ten missing days of each check that is settled until the given moment (epoch ms).

    The caller must prevent that intervals change meanwhile.
    """
    with connection.cursor() as database:
        database.execute(_SUM, {"checks": list(settled), "dues": list(settled.values())})


def delete_sums_from(*, check_id: uuid.UUID, start: int) -> None:
    """Delete the sums from the day of `start` (epoch ms) on, because its intervals change."""
    DaySum.objects.filter(check_id=check_id, day__gte=start // DAY_MS * DAY_MS).delete()


def day_sums(*, check_id: uuid.UUID, start: int, end: int) -> list[DaySum]:
    """Return the sums of the days wholly inside [start, end), in order."""
    return list(DaySum.objects.filter(check_id=check_id, day__gte=start, day__lte=end - DAY_MS).order_by("day"))
