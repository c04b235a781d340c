"""Response times beside 500 clients that send a byte a second: `python -m benchmarks.slow_clients`. Real processes."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from typing import Any

from benchmarks.clients import under_load
from benchmarks.machine import described
from tests.e2e.stack import Stack

SLOW = 500
_HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
_BODY = b"POST /api/v1/checks/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"


class SlowClients:
    """500 slow clients: half never finish their headers, half never their bodies; a disconnected one reconnects."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self._thread.start()

    def _drip(self) -> None:
        clients: list[socket.socket | None] = [None] * SLOW
        while not self._stop.is_set():
            for number, client in enumerate(clients):
                try:
                    if client is None:
                        client = clients[number] = socket.create_connection(("127.0.0.1", self._port), timeout=2)
                        client.sendall(_HEAD if number % 2 else _BODY)
                    client.sendall(b"x")
                except OSError:
                    clients[number] = None
            self._stop.wait(1)
        for client in clients:
            if client is not None:
                client.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)


def measure(stack: Stack) -> dict[str, Any]:
    stack.post("checks/", {"name": "beat", "kind": "heartbeat", "options": {"slug": "beat"}})
    address = stack.get("checks/")["results"][0]["ping_url"].partition("/ping/")[2]
    pids = {name: pid for name, pid in stack.children().items() if name == "web"}
    found: dict[str, Any] = {}
    for name, paths in {"ping": [f"/ping/{address}"], "page": ["/sign-in/"]}.items():
        found[f"{name}_alone"] = under_load(stack.port, paths, 2_000, pids).figures()
    slow = SlowClients(stack.port)
    time.sleep(3)
    for name, paths in {"ping": [f"/ping/{address}"], "page": ["/sign-in/"]}.items():
        found[f"{name}_beside_{SLOW}_slow"] = under_load(stack.port, paths, 2_000, pids).figures()
    slow.stop()
    return found


def main() -> int:
    stack = Stack()
    try:
        stack.start()
        stack.bootstrap()
        figures = measure(stack)
    finally:
        stack.remove()
    sys.stdout.write(json.dumps({**described(), **figures}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
