"""Dispatch and ingest measured separately: `python -m benchmarks.parts`. Prints JSON.

Uses real servers; the product's workers are suspended meanwhile. Measures the cost of a tick by the number of checks
and of due slots, and the cost of a result by the size of its message, each as CPU time in Python and in PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psutil

from benchmarks.clients import cpu_s
from benchmarks.machine import described
from tests.e2e.stack import ROOT, Stack

TICKS = 20
SPREADS = ((10_000, 10), (10_000, 100), (10_000, 1_000), (100_000, 100), (100_000, 1_000), (100_000, 10_000))
"""Pairs of (number of checks, due slots per tick)."""
MESSAGES = (25, 100, 400)
RESULTS = 10_000


def dispatch(checks: int, due: int, postgres: int) -> dict[str, Any]:
    from celery import current_app
    from django.db import connection
    from django.utils import timezone

    from apps.core.clock import from_ms, to_ms
    from apps.monitors.models import DispatchCursor, Region
    from apps.pipeline.dispatch import send_due
    from apps.probes import wire

    interval_s = checks // due
    with connection.cursor() as database:
        database.execute(
            "UPDATE monitors_check SET interval_s = %s, phase_ms = (abs(hashtext(id::text)) %% %s)",
            [interval_s, interval_s * 1000],
        )
        database.execute("VACUUM ANALYZE monitors_check")  # or scans would read the dead versions of the rows, too
    sent_until = DispatchCursor.objects.values_list("sent_until_ms", flat=True).first() or 0
    now = max(timezone.now(), from_ms(sent_until))
    Region.objects.update(heard_at_ms=to_ms(now) + 1_000_000)
    send_due(now=now)
    taken, sent = [], 0
    before = time.process_time(), cpu_s(postgres)
    for tick in range(1, TICKS + 1):
        began = time.perf_counter()
        sent += send_due(now=now + timedelta(seconds=tick))
        taken.append((time.perf_counter() - began) * 1000)
        with current_app.connection_for_write() as broker:
            channel: Any = broker.default_channel
            channel.queue_purge(wire.queue_of("local"))  # no worker reads it
    after = time.process_time(), cpu_s(postgres)
    return {
        "checks": checks,
        "due_per_tick": round(sent / TICKS),
        "p50_ms": round(statistics.median(taken), 1),
        "max_ms": round(max(taken), 1),
        "cpu_ms_per_tick": {"python": _each(before[0], after[0], TICKS), "postgres": _each(before[1], after[1], TICKS)},
    }


def _each(before: float, after: float, count: int) -> float:
    """Return the milliseconds per item."""
    return round((after - before) * 1000 / count, 2)


def ingest(size: int, postgres: int) -> dict[str, Any]:
    """Measure the ingest of results that change no state, from one region, `size` results per message."""
    from apps.core.clock import from_ms, to_ms
    from apps.incidents.models import CheckState
    from apps.monitors.models import Check, Region
    from apps.pipeline.ingest import Memory
    from apps.pipeline.ingest import ingest as take
    from apps.probes import wire
    from apps.probes.reasons import Verdict

    region, memory = Region.objects.get(slug="local"), Memory()
    facts = {"phases_ms": {"dns": 0.2, "connect": 0.41, "first_byte": 1.3, "transfer": 0.1}, "status": 200, "size": 12}
    due = dict(CheckState.objects.order_by("pk").values_list("pk", "due")[:RESULTS])
    revisions = dict(Check.objects.filter(pk__in=due).values_list("pk", "revision"))
    now = from_ms(max(due.values()))
    Region.objects.update(last_sent_ms=to_ms(now) + 60_000, silent_from_ms=None, silent_until_ms=None)

    def messages() -> list[bytes]:
        runs = [
            wire.encode_run(wire.Run(check, revisions[check], slot, slot + 1, 12, Verdict.UP, None, "", facts))
            for check, slot in due.items()
        ]
        bodies = (wire.runs_body(runs[start : start + size]) for start in range(0, len(runs), size))
        return [wire.Signer(region.slug, region.key, "benchmark").sign(body, sent_at=to_ms(now)) for body in bodies]

    for body in messages():  # not measured: a check's first result changes its state
        take(body, memory=memory, now=now)
    due = {check: slot + 10_000 for check, slot in due.items()}
    made = messages()
    now += timedelta(seconds=10)
    before = time.process_time(), cpu_s(postgres), time.perf_counter()
    for body in made:
        take(body, memory=memory, now=now)
    after = time.process_time(), cpu_s(postgres), time.perf_counter()
    settled = CheckState.objects.filter(pk__in=due, status="up").count()
    return {
        "results": len(due),
        "in_a_message": size,
        "up_after": settled,
        "per_s": round(len(due) / (after[2] - before[2])),
        "cpu_ms_per_result": {"python": _each(before[0], after[0], len(due)), "postgres": _each(before[1], after[1], len(due))},
    }


def _inside(stack: Stack, act: str) -> list[dict[str, Any]]:
    environment = {**stack.environment, "DJANGO_SETTINGS_MODULE": "goruptime.settings"}
    command = [sys.executable, "-m", "benchmarks.parts", "--act", act, "--postgres", str(stack.children()["postgres"])]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    answer: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _seed(stack: Stack, checks: int) -> None:
    command = [sys.executable, "-m", "benchmarks.seed", stack.project, "http://127.0.0.1:1", str(checks), "10"]
    subprocess.run(command, cwd=ROOT, env=stack.environment, check=True)


def measure() -> dict[str, Any]:
    stack = Stack(GORUPTIME_LAYOUT="separate")
    try:
        stack.start()
        stack.bootstrap()
        for name, pid in stack.children().items():
            if name not in ("postgres", "valkey", "web"):
                os.killpg(pid, signal.SIGSTOP)
        _seed(stack, 10_000)
        results = [_inside(stack, f"ingest-{size}")[0] for size in MESSAGES]
        few = _inside(stack, "few")
        _seed(stack, 90_000)
        many = _inside(stack, "many")
        return {**described(), "dispatch": [*few, *many], "ingest": results}
    finally:
        for pid in stack.children().values():
            os.killpg(pid, signal.SIGCONT)
        stack.remove()


def _act(name: str, postgres: int) -> list[dict[str, Any]]:
    if name.startswith("ingest-"):
        return [ingest(int(name.partition("-")[2]), postgres)]
    wanted: Callable[[int], bool] = (lambda checks: checks == 10_000) if name == "few" else (lambda checks: checks > 10_000)
    return [dispatch(checks, due, postgres) for checks, due in SPREADS if wanted(checks)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--act", help="inside the installation")
    parser.add_argument("--postgres", type=int, help="its process")
    arguments = parser.parse_args()
    if not arguments.act:
        print(json.dumps(measure(), indent=1))
        return
    import django

    django.setup()
    assert psutil.pid_exists(arguments.postgres)
    print(json.dumps(_act(arguments.act, arguments.postgres)))


if __name__ == "__main__":
    main()
