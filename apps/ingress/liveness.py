"""Whether pings can reach us, looked at by the way that they take: a connection to our own address, through server and database.

A deadline that passes while they cannot is unknown, and no job's fault.
"""

from __future__ import annotations

import http.client
import logging
import threading
import uuid

from django.db import connection
from django.utils import timezone

from apps.ingress.ping_requests import PREFIX
from apps.monitors.regions import hear_core

log = logging.getLogger(__name__)

_EVERY_S = 2.0
_TIMEOUT_S = 5.0
_NOBODY = uuid.UUID(int=0)
_NOT_FOUND = 404
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # what stands for every address


def watch_ping_path(host: str, port: int) -> None:
    """From a thread of its own, for as long as this web server lives."""
    threading.Thread(target=_watch, args=(_ANYWHERE.get(host, host), port), name="ping-path", daemon=True).start()


def _watch(host: str, port: int) -> None:
    pause = threading.Event()
    was_well = True
    while True:
        try:
            is_well = _is_reachable(host, port)
            if is_well:
                hear_core(now=timezone.now())
        except Exception as error:  # noqa: BLE001  # whatever it is, the next look must come: silence would excuse every missed job
            is_well = False
            if was_well:
                log.warning("pings do not reach us: %s", str(error).strip())
            connection.close()
        was_well = is_well
        pause.wait(_EVERY_S)


def _is_reachable(host: str, port: int) -> bool:
    """A ping of nobody is looked for in the database, and not found."""
    client = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        client.request("GET", f"{PREFIX}{_NOBODY}")
        return client.getresponse().status == _NOT_FOUND
    finally:
        client.close()
