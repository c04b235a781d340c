"""Self-test of the ping endpoint: a request to our own address, through the web server and the database, as a ping
takes.

A heartbeat's deadline that passes while pings cannot reach us is recorded as unknown, not as missed.
"""

from __future__ import annotations

import http.client
import logging
import threading
import uuid

from django.db import connection
from django.utils import timezone

from apps.ingress.ping_requests import PREFIX
from apps.monitors.regions import record_core_liveness

log = logging.getLogger(__name__)

_EVERY_S = 2.0
_TIMEOUT_S = 5.0
_NOBODY = uuid.UUID(int=0)
_NOT_FOUND = 404
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # wildcard addresses


def watch_ping_path(host: str, port: int) -> None:
    """Start the thread that tests the endpoint and records each success. It runs as long as the web server."""
    threading.Thread(target=_watch, args=(_ANYWHERE.get(host, host), port), name="ping-path", daemon=True).start()


def _watch(host: str, port: int) -> None:
    pause = threading.Event()
    was_well = True
    while True:
        try:
            is_well = _is_reachable(host, port)
            if is_well:
                record_core_liveness(now=timezone.now())
        except Exception as error:  # noqa: BLE001  # the loop must go on: silence would excuse every missed ping
            is_well = False
            if was_well:
                log.warning("pings do not reach us: %s", str(error).strip())
            connection.close()
        was_well = is_well
        pause.wait(_EVERY_S)


def _is_reachable(host: str, port: int) -> bool:
    """Return whether a ping of a check that does not exist is answered by 404, which takes a query."""
    client = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        client.request("GET", f"{PREFIX}{_NOBODY}")
        return client.getresponse().status == _NOT_FOUND
    finally:
        client.close()
