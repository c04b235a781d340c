"""Django's PostgreSQL backend with every statement timed for Prometheus and every wait limited (`patience`).

Django loads this module because the ENGINE setting names its package.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db.backends.postgresql import base

from apps.core.timed_postgres.client_timeout import TimeoutConnection, connected
from apps.telemetry.metrics import DB_QUERY_DURATION

_OPERATIONS = {name: DB_QUERY_DURATION.labels(name.lower()) for name in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")}
_OTHER = DB_QUERY_DURATION.labels("other")


_trust = threading.local()


def trust_connections_for(seconds: float) -> None:
    """Do not check this thread's connection before a use, if it was used successfully so short a time ago.

    For work that comes again by itself: after a restart of the database it fails once instead.
    """
    _trust.seconds = seconds


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute_wrappers.append(_timed)
        self.used_at = -math.inf

    def close_if_health_check_failed(self) -> None:
        if time.monotonic() - self.used_at > getattr(_trust, "seconds", 0.0):
            super().close_if_health_check_failed()

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        def connect(timeout_s: int) -> TimeoutConnection:
            return TimeoutConnection.connect(**{**conn_params, "connect_timeout": timeout_s})

        return connected(connect, int(conn_params["connect_timeout"]))


def _timed(execute: Callable[..., Any], sql: object, params: Any, many: bool, context: Any) -> Any:
    began = time.perf_counter()
    try:
        found = execute(sql, params, many, context)
        context["connection"].used_at = time.monotonic()
        return found
    finally:
        # A `psycopg.sql.Composed` is no str; only Django itself uses these, and rarely.
        first = sql.split(None, 1)[:1] if isinstance(sql, str) else []
        _OPERATIONS.get("".join(first).upper(), _OTHER).observe(time.perf_counter() - began)
