"""What a heartbeat's ping costs: `python -m benchmarks.pings`. Real processes, keep-alive clients, success pings to several checks."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from typing import Any

import psutil

from benchmarks.machine import described
from tests.e2e.stack import Stack

CHECKS, CLIENTS = 20, 4


def cpu_s(pid: int) -> float:
    """Of a process and what it started."""
    process = psutil.Process(pid)
    return sum(sum(part.cpu_times()[:2]) for part in [process, *process.children(recursive=True)])


def _ping(port: int, ids: list[str], count: int, taken: list[float]) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(count):
        began = time.perf_counter()
        client.request("GET", f"/ping/{ids[number % len(ids)]}")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"OK")
        taken.append((time.perf_counter() - began) * 1000)


def measure(stack: Stack, count: int) -> dict[str, Any]:
    ids = [str(stack.post("checks/", {"name": f"beat {n}", "kind": "heartbeat"})["id"]) for n in range(CHECKS)]
    _ping(stack.port, ids, 100, [])
    pids = {name: pid for name, pid in stack.children().items() if name in ("web", "postgres")}
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    taken: list[float] = []
    began = time.monotonic()
    clients = [
        threading.Thread(target=_ping, args=(stack.port, ids[n::CLIENTS], count // CLIENTS, taken)) for n in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds = time.monotonic() - began
    used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    taken.sort()
    return {
        "pings": len(taken),
        "per_s": round(len(taken) / seconds),
        "p50_ms": round(taken[len(taken) // 2], 1),
        "p99_ms": round(taken[int(len(taken) * 0.99)], 1),
        "cpu_ms_per_ping": {name: round(value / len(taken) * 1000, 3) for name, value in used.items()},
        "pings_per_web_cpu_s": round(len(taken) / used["web"]),
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=8_000)
    count = parser.parse_args().count
    stack = Stack()
    try:
        stack.start()
        stack.bootstrap()
        figures = measure(stack, count)
    finally:
        stack.remove()
    sys.stdout.write(json.dumps({**described(), **figures}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
