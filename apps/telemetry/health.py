"""Health of a process: whether its loops still run, served over HTTP if GORUPTIME_HEALTH_PORT is set.

`/healthz` answers 200 while every registered loop has reported within its time limit, else 503. `/metrics` answers in
Prometheus' text format.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


class Loops:
    """When each named loop of this process last reported, and when its next report is due."""

    def __init__(self) -> None:
        self._turned: dict[str, tuple[float, float]] = {}

    def turned(self, name: str, *, within_s: float) -> None:
        """Record that the loop `name` is running; it must report again within `within_s` seconds."""
        self._turned[name] = (time.monotonic(), within_s)

    def late(self) -> list[str]:
        """Return the names of the loops that have not reported in time."""
        now = time.monotonic()
        return [name for name, (at, within_s) in self._turned.items() if now - at > within_s]

    def ages(self) -> Mapping[str, float]:
        """Return the seconds since each loop last reported."""
        now = time.monotonic()
        return {name: round(now - at, 1) for name, (at, _) in self._turned.items()}


LOOPS = Loops()


def address(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """Return host and port of the health server from environment variables; None without a port. Raises ValueError.

    These are not Django settings, because processes of one machine may share those, but not a port.
    """
    port = int(environment.get("GORUPTIME_HEALTH_PORT") or 0)
    return (environment.get("GORUPTIME_HEALTH_HOST") or "127.0.0.1", port) if port else None


@lru_cache(maxsize=1)
def serve_if_configured() -> None:
    """Start the health server if the environment configures one; a further call in the process does nothing.

    Raises ValueError for an invalid port, and OSError if the port is in use.
    """
    where = address(os.environ)
    if where is not None:
        serve(*where)


def serve(host: str, port: int) -> ThreadingHTTPServer:
    """Start the health server in a thread. Raises OSError if the port is in use."""

    class Answer(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/healthz":
                late = LOOPS.late()
                body = json.dumps({"status": "stuck" if late else "ok", "late": late, "turned_s_ago": LOOPS.ages()}).encode()
                self._answer(503 if late else 200, "application/json", body)
            elif path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            else:
                self._answer(404, "text/plain", b"/healthz and /metrics\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Log nothing: scrapes are too frequent."""

    server = ThreadingHTTPServer((host, port), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
