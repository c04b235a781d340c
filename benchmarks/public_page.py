"""A status page under load, and while the database is suspended: `python -m benchmarks.public_page`. Prints JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.clients import under_load
from benchmarks.machine import described
from tests.e2e.stack import Stack

COMPONENTS, STANDSTILL_S, OTHERS = 20, 30, 8


def _under_load(stack: Stack, path: str, count: int) -> dict[str, float]:
    load = under_load(stack.port, [path], count, {"web": stack.children()["web"]})
    return {
        "answers": load.answers,
        "bytes": load.bytes,
        **load.figures(),
        "per_web_cpu_s": round(load.answers / load.cpu_s["web"]),
    }


def _without_database(stack: Stack, path: str) -> dict[str, Any]:
    """Request the page four times a second while PostgreSQL is suspended and other clients request what needs it.

    Responses are counted by status; 0 is no response within ten seconds.
    """
    seen: Counter[str] = Counter()
    slowest_s = 0.0
    with stack.halted("postgres"), ThreadPoolExecutor(OTHERS) as pool:
        until = time.monotonic() + STANDSTILL_S
        others = [pool.submit(_ask_until, stack, until) for _ in range(OTHERS)]
        while time.monotonic() < until:
            began = time.monotonic()
            seen[str(stack.call("GET", path)[0])] += 1
            slowest_s = max(slowest_s, time.monotonic() - began)
            time.sleep(0.25)
        statuses = sum((other.result() for other in others), Counter())
    return {"page": dict(seen), "slowest_s": round(slowest_s, 2), "others": dict(statuses)}


def _ask_until(stack: Stack, until: float) -> Counter[str]:
    """Request a list twice a second until a moment of the monotonic clock, and count the responses by status."""
    seen: Counter[str] = Counter()
    while time.monotonic() < until:
        seen[str(stack.call("GET", "/api/v1/checks/")[0])] += 1
        time.sleep(0.5)
    return seen


def measure(count: int) -> dict[str, Any]:
    stack = Stack()
    try:
        stack.start()
        stack.bootstrap()
        checks = [
            stack.post("checks/", {"name": f"site {n}", "kind": "http", "target": f"{stack.url}/healthz"})
            for n in range(COMPONENTS)
        ]
        components = [{"resource": check["resource"], "name": check["name"]} for check in checks]
        page = stack.post("status-pages/", {"project": stack.project})["id"]
        wanted = {"title": "Acme", "slug": "acme", "is_published": True, "components": components}
        assert stack.call("PATCH", f"/api/v1/status-pages/{page}/", wanted)[0] == 200
        return {
            "page": _under_load(stack, "/status/acme/", count),
            "json": _under_load(stack, "/status/acme.json", count),
            f"database_stopped_for_{STANDSTILL_S}_s": _without_database(stack, "/status/acme/"),
        }
    finally:
        stack.remove()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=8_000)
    figures = measure(parser.parse_args().count)
    sys.stdout.write(json.dumps({**described(), **figures}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
