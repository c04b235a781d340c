"""What keeps some threads free when most of them wait: one slow server behind the pages must not take all of them.

A WSGI application in front of Django's and of the pings. It knows nothing of why they wait.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from apps.core.envelope import error_body
from apps.core.timed_postgres.patience import patience

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

SLOW_S = 3.0
LONGEST_STATEMENT_S = 16.0
"""A second more than the `statement_timeout` of the connections."""
_SENTENCE = "The server is busy. Try again in a moment."


class Shedding:
    """Answers 503 at once while half of the threads hold requests that have lasted longer than `SLOW_S`.

    What begins with one of the prefixes is always let through: it must not wait long by itself.
    """

    def __init__(
        self, django: Application, *, threads: int, passing: tuple[str, ...], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._django = django
        self._most_slow = max(1, threads // 2)
        self._passing = passing
        self._clock = clock
        self._since: dict[object, float] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(self._passing):
            return self._django(environ, start_response)
        now = self._clock()
        if sum(now - since > SLOW_S for since in list(self._since.values())) >= self._most_slow:
            return _busy(path, start_response)
        request = object()
        self._since[request] = now
        try:
            with patience(LONGEST_STATEMENT_S):
                return self._django(environ, start_response)
        finally:
            del self._since[request]


def _busy(path: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
    is_api = path.startswith("/api/")
    body = (json.dumps(error_body("unavailable", _SENTENCE)) if is_api else _SENTENCE).encode()
    kind = "application/json" if is_api else "text/plain; charset=utf-8"
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Retry-After", "5"), ("Cache-Control", "no-store")]
    start_response("503 Service Unavailable", headers)
    return [body]
