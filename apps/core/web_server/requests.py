"""What the server hands on: a request that was read whole, as the WSGI environment of PEP 3333, and an answer."""

from __future__ import annotations

import io
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


QuickDoor = Callable[[Environ], Awaitable[Answer] | Answer | None]
"""Asked before a thread is taken; None leaves the request to Django. It runs on the loop, so it never waits for anything."""


def environ_of(scope: Any, body: bytes) -> Environ:
    """Of a request in granian's form. Headers with an underscore are dropped: they would pass for those with a hyphen.

    No header of a forwarder is believed here: `SCRIPT_NAME` is empty, the scheme is that of the connection.
    """
    host, _, port = str(scope.server).rpartition(":")
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": str(scope.client).rpartition(":")[0].strip("[]"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if "_" in name or name in ("content-length", "transfer-encoding"):
            continue
        key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}"
        separator = "; " if name == "cookie" else ","
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value
    return environ


def call_application(application: Application, environ: Environ) -> Answer:
    """The application's answer, whole. Raises what the application raises."""
    told: list[tuple[str, list[tuple[str, str]]]] = []
    parts = application(environ, lambda status, headers, _error=None: told.append((status, list(headers))))
    try:
        body = b"".join(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    status, headers = told[-1]
    return Answer(int(status[:3]), [(name, _ascii(value)) for name, value in headers], body)


def _ascii(value: str) -> str:
    """The engine sends ASCII alone; a header that a view made of a person's words must not cost the answer."""
    return value if value.isascii() else quote(value, safe=_SAFE)


_SAFE = "".join(map(chr, range(32, 127)))
