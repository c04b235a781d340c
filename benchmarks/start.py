"""Start-up time of `manage.py up`, and its memory and CPU when idle: `python -m benchmarks.start`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from benchmarks.machine import described
from benchmarks.pipeline import usage
from tests.e2e.stack import Stack


def _first_page_s(stack: Stack) -> float:
    """Return the seconds from the command to the first page, with assets and environment already built."""
    began = time.monotonic()
    stack.start()
    assert stack.call("GET", "/")[0] == 200
    return round(time.monotonic() - began, 1)


def measure(idle_s: float) -> dict[str, Any]:
    stack = Stack()
    try:
        empty_s = _first_page_s(stack)
        stack.stop()
        again_s = _first_page_s(stack)
        time.sleep(idle_s / 2)
        before = usage(stack)
        time.sleep(idle_s)
        after = usage(stack)
    finally:
        stack.remove()
    return {
        "first_page_s": {"empty_folder": empty_s, "next_start": again_s},
        "idle_memory_mb": {"total": round(sum(after.memory_mb.values())), **{n: round(v) for n, v in after.memory_mb.items()}},
        "idle_cpu_share": round(sum(after.cpu_s[name] - before.cpu_s[name] for name in after.cpu_s) / idle_s, 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--idle", type=float, default=120)
    figures = measure(parser.parse_args().idle)
    sys.stdout.write(json.dumps({**described(), **figures}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
