"""What everybody may see, kept for a second in front of Django: the cost of a status page when all the world looks at it.

A WSGI application. Kept whole, with the headers that Django gave it, is what Django says is public (`Cache-Control: public`, RFC
9111); it knows nothing of pages.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

KEPT_S = 1.0
_MAKING_S = 5.0
"""One visitor waits for the new answer; the others see the old one for so long."""
_MOST_BYTES = 32_000_000


@dataclass
class _Kept:
    status: str
    headers: list[tuple[str, str]]
    body: bytes
    until: float


class PublicAnswers:
    def __init__(self, django: Application, prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._django = django
        self._prefix = prefix
        self._clock = clock
        self._kept: dict[tuple[str, ...], _Kept] = {}
        self._bytes = 0
        self._changing = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] != "GET" or environ["QUERY_STRING"] or not path.startswith(self._prefix):
            return self._django(environ, start_response)
        key = (
            path,
            environ.get("HTTP_HOST", ""),
            environ["wsgi.url_scheme"] + environ.get("HTTP_X_FORWARDED_PROTO", ""),
            "gzip" if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "") else "",
        )
        now, found = self._clock(), self._kept.get(key)
        if found is None or now >= found.until:
            if found is not None:
                found.until = now + _MAKING_S
            found = self._made(key, environ, now)
        start_response(found.status, found.headers)
        return [found.body]

    def _made(self, key: tuple[str, ...], environ: dict[str, Any], now: float) -> _Kept:
        told: list[tuple[str, list[tuple[str, str]]]] = []
        answer = self._django(environ, lambda status, headers, _error=None: told.append((status, list(headers))))
        try:
            body = b"".join(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        status, headers = told[-1]
        made = _Kept(status, headers, body, now + KEPT_S)
        with self._changing:
            self._forget(key)
            if _is_public(status, headers):
                self._keep(key, made)
        return made

    def _keep(self, key: tuple[str, ...], made: _Kept) -> None:
        if self._bytes + len(made.body) > _MOST_BYTES:
            self._kept.clear()
            self._bytes = 0
        self._kept[key] = made
        self._bytes += len(made.body)

    def _forget(self, key: tuple[str, ...]) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone.body)


def _is_public(status: str, headers: list[tuple[str, str]]) -> bool:
    named = {name.lower(): value for name, value in headers}
    return status.startswith("200") and "set-cookie" not in named and "public" in named.get("cache-control", "")
