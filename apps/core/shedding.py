"""What keeps some threads free while most of them wait for a database that hangs: status pages are served by them.

A WSGI application in front of Django's and of the pings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from apps.core.envelope import error_body
from apps.core.timed_postgres.patience import patience, waiting_for

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

SLOW_S = 3.0
LONGEST_STATEMENT_S = 16.0
"""A second more than the `statement_timeout` of the connections."""
_SENTENCE = "The server is busy. Try again in a moment."


class Shedding:
    """Answers 503 at once while half of the threads have waited for one statement for longer than `SLOW_S`.

    What begins with one of the prefixes is always let through: it must have less patience of its own.
    """

    def __init__(
        self, django: Application, *, threads: int, passing: tuple[str, ...], waiting: Callable[[float], int] = waiting_for
    ) -> None:
        self._django = django
        self._most = max(1, threads // 2)
        self._passing = passing
        self._waiting = waiting

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(self._passing):
            return self._django(environ, start_response)
        if self._waiting(SLOW_S) >= self._most:
            return _busy(path, start_response)
        with patience(LONGEST_STATEMENT_S):
            return self._django(environ, start_response)


def _busy(path: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
    is_api = path.startswith("/api/")
    body = (json.dumps(error_body("unavailable", _SENTENCE)) if is_api else _SENTENCE).encode()
    kind = "application/json" if is_api else "text/plain; charset=utf-8"
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Retry-After", "5"), ("Cache-Control", "no-store")]
    start_response("503 Service Unavailable", headers)
    return [body]
