"""A one-second cache of public responses in front of Django, so that a status page under load costs little.

A WSGI application around Django. It keeps a whole response, headers included, if Django marks it `Cache-Control:
public` (RFC 9111), and knows nothing of individual pages.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from apps.core.web_server.requests import Answer, whole_response

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

KEPT_S = 1.0
_MOST_BYTES, _MOST = 32_000_000, 2_000
_LONGEST_HOST = 255  # RFC 1035, 2.3.4


@dataclass(frozen=True)
class _Kept:
    status: str
    headers: list[tuple[str, str]]
    body: bytes
    made_at: float


class PublicResponseCache:
    def __init__(self, django: Application, prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._django = django
        self._prefix = prefix
        self._clock = clock
        self._kept: dict[tuple[str, ...], _Kept] = {}
        self._bytes = 0
        self._changing = threading.Lock()

    def quick(self, environ: dict[str, Any]) -> Answer | None:
        """Return the kept response if it is fresh, without calling Django, else None."""
        key = self._key(environ)
        found = None if key is None else self._kept.get(key)
        if found is None or self._clock() - found.made_at >= KEPT_S:
            return None
        return Answer(int(found.status[:3]), found.headers, found.body)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        key = self._key(environ)
        if key is None:
            return self._django(environ, start_response)
        found = self._kept.get(key)
        if found is None or self._clock() - found.made_at >= KEPT_S:
            found = self._made(key, environ)
        start_response(found.status, found.headers)
        return [found.body]

    def _key(self, environ: dict[str, Any]) -> tuple[str, ...] | None:
        """Return the cache key: everything that the response depends on. None if the response must not be kept."""
        path, host = environ["PATH_INFO"], environ.get("HTTP_HOST", "")
        is_plain = environ["REQUEST_METHOD"] == "GET" and not environ["QUERY_STRING"] and not environ.get("SCRIPT_NAME")
        if not is_plain or not path.startswith(self._prefix) or len(host) > _LONGEST_HOST:
            return None
        is_tls = "https" in (environ["wsgi.url_scheme"], environ.get("HTTP_X_FORWARDED_PROTO"))
        is_packed = "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
        return path, host, "https" if is_tls else "http", "gzip" if is_packed else ""

    def _made(self, key: tuple[str, ...], environ: dict[str, Any]) -> _Kept:
        made = self._asked(environ)
        with self._changing:
            self._forget(key)
            if _is_public(made.status, made.headers):
                self._keep(key, made)
        return made

    def _asked(self, environ: dict[str, Any]) -> _Kept:
        return _Kept(*whole_response(self._django, environ), self._clock())

    def _keep(self, key: tuple[str, ...], made: _Kept) -> None:
        if self._bytes + len(made.body) > _MOST_BYTES or len(self._kept) >= _MOST:
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
