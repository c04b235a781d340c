"""Django's PostgreSQL backend with every statement timed for Prometheus and every wait limited (`client_timeout`).

Django loads this module because the ENGINE setting names its package.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.db.backends.postgresql import base

from apps.core.timed_postgres.client_timeout import TimeoutConnection, connected
from apps.telemetry.metrics import DB_QUERY_DURATION

_OPERATIONS = {name: DB_QUERY_DURATION.labels(name.lower()) for name in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")}
_OTHER = DB_QUERY_DURATION.labels("other")


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute_wrappers.append(_timed)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        def connect(timeout_s: int) -> TimeoutConnection:
            return TimeoutConnection.connect(**{**conn_params, "connect_timeout": timeout_s})

        return connected(connect, int(conn_params["connect_timeout"]))


def _timed(execute: Callable[..., Any], sql: object, params: Any, many: bool, context: Any) -> Any:
    began = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        # A `psycopg.sql.Composed` is no str; only Django itself uses these, and rarely.
        first = sql.split(None, 1)[:1] if isinstance(sql, str) else []
        _OPERATIONS.get("".join(first).upper(), _OTHER).observe(time.perf_counter() - began)
