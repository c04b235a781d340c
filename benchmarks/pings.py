"""Cost of a heartbeat's success ping with real processes and keep-alive clients: `python -m benchmarks.pings`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from benchmarks.clients import under_load
from benchmarks.machine import described
from tests.e2e.stack import Stack

CHECKS = 20


def measure(stack: Stack, count: int) -> dict[str, Any]:
    ids = [str(stack.post("checks/", {"name": f"beat {n}", "kind": "heartbeat"})["id"]) for n in range(CHECKS)]
    pids = {name: pid for name, pid in stack.children().items() if name in ("web", "postgres")}
    load = under_load(stack.port, [f"/ping/{check}" for check in ids], count, pids)
    return {
        "pings": load.answers,
        **load.figures(),
        "cpu_ms_per_ping": {name: round(value / load.answers * 1000, 3) for name, value in load.cpu_s.items()},
        "pings_per_web_cpu_s": round(load.answers / load.cpu_s["web"]),
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
