"""Which certificates the newest runs saw."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.db import connection

_BACK_MS = 7_200_000
_LAST = """
    SELECT c.id, (k.facts ->> 'not_after')::bigint
    FROM unnest(%(checks)s::uuid[]) AS c (id)
    CROSS JOIN LATERAL (
        SELECT certificate_id FROM check_runs
        WHERE check_id = c.id AND slot > %(since)s AND slot < %(until)s ORDER BY slot DESC OFFSET 0 LIMIT 1
    ) AS r
    JOIN results_certificate AS k ON k.id = r.certificate_id
"""


def last_certificates(*, check_ids: Sequence[uuid.UUID], now_ms: int) -> dict[uuid.UUID, int]:
    """Return when the certificate of each check's newest run expires (epoch ms); none of checks that saw no certificate."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST, {"checks": list(check_ids), "since": now_ms - _BACK_MS, "until": now_ms + _BACK_MS})
        return dict(cursor.fetchall())
