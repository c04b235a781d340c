"""What the server passes on: a completely read request as a WSGI environment (PEP 3333), and the response."""

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


FastHandler = Callable[[Environ], Awaitable[Answer] | Answer | None]
"""A handler called on the event loop before a thread is used; it must not block. None passes the request to Django."""


def environ_of(scope: Any, body: bytes) -> Environ:
    """Return the WSGI environment of a granian request. Headers with an underscore are dropped: in WSGI they would be
    indistinguishable from those with a hyphen.

    Forwarding headers are not trusted here: `SCRIPT_NAME` is empty, and the scheme is that of the connection.
    """
    host, _, port = str(scope.server).rpartition(":")
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string.encode("utf-8", "surrogateescape").decode("latin-1"),
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
    """Call the WSGI application and return its whole response. Raises what the application raises."""
    status, headers, body = whole_response(application, environ)
    return Answer(int(status[:3]), [(name, _ascii(value)) for name, value in headers], body)


def whole_response(application: Application, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
    """Call the WSGI application; return its status line, its headers and its whole body (PEP 3333)."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    parts = application(environ, lambda status, headers, _error=None: started.append((status, list(headers))))
    try:
        body = b"".join(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    return *started[-1], body


def _ascii(value: str) -> str:
    """Return the value with everything outside ASCII percent-encoded: granian sends ASCII only, and a header that a
    view built from user input must not fail the response.
    """
    return value if value.isascii() else quote(value, safe=_SAFE)


_SAFE = "".join(map(chr, range(32, 127)))
