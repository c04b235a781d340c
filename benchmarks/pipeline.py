"""The whole pipeline at a given rate, with real processes: `make bench RATE=100 SECONDS=60 TLS=0`."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import trustme

from benchmarks.held import held
from benchmarks.machine import described
from tests.e2e.peers import Receiver
from tests.e2e.stack import ROOT, Stack, eventually

INTERVAL_S = 10
WARM_UP_S = 20
DRAIN_S = 8
_TICKS = os.sysconf("SC_CLK_TCK")


class Target:
    """The target (`benchmarks.target`), run in a process of its own."""

    def __init__(self, certificate: str) -> None:
        command = [sys.executable, "-m", "benchmarks.target", *(["--cert", certificate] if certificate else [])]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._line()}"

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def requests(self) -> int:
        self.say("count")
        return int(self._line().split()[0])

    def twice(self) -> int:
        self.say("count")
        return int(self._line().split()[1])

    def _line(self) -> str:
        assert self.process.stdout is not None
        line: str = self.process.stdout.readline()
        return line.strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


@dataclass(frozen=True)
class Usage:
    """CPU seconds and memory in MB by process name."""

    cpu_s: dict[str, float]
    memory_mb: dict[str, float]


def usage(stack: Stack) -> Usage:
    """Return CPU and memory (PSS) of the supervisor and of each of its children with descendants, by name."""
    parents: dict[int, list[int]] = defaultdict(list)
    stats: dict[int, list[str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        stats[int(folder.name)] = fields
        parents[int(fields[1])].append(int(folder.name))
    cpu: dict[str, float] = {}
    memory: dict[str, float] = {}
    for name, pid in [*stack.children().items(), ("supervisor", stack.pid)]:
        tree = [pid]
        if name != "supervisor":
            for member in tree:
                tree += parents[member]
        # utime, stime and those of children that ended
        cpu[name] = sum(sum(map(int, stats[p][11:15])) for p in tree if p in stats) / _TICKS
        memory[name] = sum(_memory_mb(p) for p in tree if p in stats)
    return Usage(cpu, memory)


def _memory_mb(pid: int) -> float:
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next(int(row.split()[1]) for row in rows if row.startswith("Pss:")) * 1024 / 1e6


def percentiles(values: list[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys(("p50", "p95", "p99", "max"))
    at = {
        name: ordered[min(len(ordered) - 1, int(len(ordered) * share))]
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    return {name: round(value, 1) for name, value in {**at, "max": ordered[-1]}.items()}


def flip_until(target: Target, checks: int, until: float) -> None:
    """Take one target down each second, for an interval and a half, so that messages are sent all the time."""
    heals: list[tuple[float, int]] = []
    for index in random.sample(range(checks), min(checks, int(until - time.time()))):
        now = time.time()
        if now > until - 2.5 * INTERVAL_S:
            break
        target.say(f"down /{index}")
        heals.append((now + 1.5 * INTERVAL_S, index))
        while heals and heals[0][0] <= now:
            target.say(f"up /{heals.pop(0)[1]}")
        time.sleep(1)
    for at, index in heals:
        time.sleep(max(0.0, at - time.time()))
        target.say(f"up /{index}")
    time.sleep(max(0.0, until - time.time()))


def measure(rate: int, seconds: int, tls: bool, probes: int, share: float, layout: str, steady: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        certificate, environment = "", {"GORUPTIME_LOCAL_PROBES": str(probes), "GORUPTIME_LAYOUT": layout}
        if tls:
            authority = trustme.CA()
            authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(f"{folder}/site.pem")
            authority.cert_pem.write_to_path(f"{folder}/ca.pem")
            certificate, environment["GORUPTIME_CA_FILE"] = f"{folder}/site.pem", f"{folder}/ca.pem"
        stack, target, receiver = Stack(with_demo=False, **environment), Target(certificate), Receiver()
        try:
            return {
                "probes": probes,
                "layout": layout,
                "share": share or None,
                "steady": steady,
                **_measured(stack, target, receiver, rate, seconds, tls, share, steady),
            }
        finally:
            target.close()
            receiver.close()
            stack.remove()


def _measured(
    stack: Stack, target: Target, receiver: Receiver, rate: int, seconds: int, tls: bool, share: float, steady: bool
) -> dict[str, Any]:
    stack.start()
    stack.bootstrap()
    eventually(stack.is_live, 60)
    stack.post("channels/", {"name": "bench", "kind": "webhook", "config": {"url": receiver.url, "secret": receiver.SECRET}})
    checks = rate * INTERVAL_S
    seeding = [sys.executable, "-m", "benchmarks.seed", stack.project, target.url, str(checks), str(INTERVAL_S)]
    subprocess.run(seeding, cwd=ROOT, env=stack.environment, check=True)
    workers = [pid for name, pid in stack.children().items() if name.startswith("probe")]
    with held(workers, share) if share else nullcontext():
        time.sleep(WARM_UP_S)
        dropped = _dropped(stack)
        before, start = usage(stack), time.time()
        if steady:
            time.sleep(seconds)
        else:
            flip_until(target, checks, start + seconds)
        after, end = usage(stack), time.time()
        time.sleep(DRAIN_S)
    with psycopg.connect(database_url(stack)) as database:
        facts = _facts(database, int(start * 1000), int(end * 1000), target.twice(), _dropped(stack) - dropped)
        ends: dict[str, int] = dict(database.execute(_FAILED_ENDS).fetchall())
        facts["slots"]["whole_life"] = _whole_life(stack, database)
    messages = [
        (at * 1000 - ends[m["incident"]["id"]])
        for at, m in receiver.got
        if m["incident"]["id"] in ends and m["event"] == "incident.opened"
    ]
    cpu = {name: after.cpu_s[name] - before.cpu_s.get(name, 0.0) for name in after.cpu_s}
    thousands = facts["slots"]["ran"] / 1000 or 1
    return {
        "rate": rate,
        "seconds": seconds,
        "tls": int(tls),
        **described(),
        "slots": facts["slots"],
        "lateness_ms": percentiles(facts["lateness"]),
        "end_to_end_ms": {**percentiles(messages), "count": len(messages)},
        "cpu_s_per_1000": {
            "total": round(sum(cpu.values()) / thousands, 3),
            "by_process": {name: round(value / thousands, 3) for name, value in sorted(cpu.items())},
        },
        "memory_mb": {
            "at_start": round(sum(before.memory_mb.values())),
            "total": round(sum(after.memory_mb.values())),
            "by_process": {name: round(value) for name, value in sorted(after.memory_mb.items())},
        },
        "warnings": _warnings(stack),
    }


def _warnings(stack: Stack) -> list[str]:
    """Return the distinct warnings and errors of the log, at most twenty, with every number replaced by 0."""
    found = re.findall(r"^.*(?:WARN|ERROR|Traceback|FATAL).*$", stack.log.read_text(errors="replace"), re.MULTILINE)
    return sorted({re.sub(r"\d+", "0", line)[:200] for line in found})[:20]


_FAILED_ENDS = """
    SELECT i.id::text, (SELECT slot + started_after_ms + duration_ms FROM check_runs r
        WHERE r.check_id = i.check_row_id AND r.slot = (extract(epoch FROM i.started_at) * 1000)::bigint) FROM incidents_incident i
"""


def _dropped(stack: Stack) -> int:
    """Return how many jobs the workers have dropped so far, by their own count."""
    return sum(sum(region["dropped"].values()) for region in stack.get("regions/")["results"])


def _whole_life(stack: Stack, database: Any) -> dict[str, int]:
    """Stop the checks, and account for every slot that was ever sent: it ran, or a worker dropped it.

    Only this adds up exactly: within the measured span the workers' counts lag behind by a heartbeat.
    """
    database.execute("UPDATE monitors_check SET is_paused = true")
    database.commit()
    time.sleep(_SETTLE_S)
    due, ran = database.execute(_LIFE).fetchone()
    dropped = _dropped(stack)
    return {"due": int(due), "ran": ran, "dropped": dropped, "unaccounted": int(due) - ran - dropped}


_SETTLE_S = 12
"""Two seconds of slots sent ahead, the longest run, and the heartbeat that tells of the last drop."""
_LIFE = """
    SELECT (
        SELECT sum((until - phase_ms) / (interval_s * 1000) - (since_ms - 1 - phase_ms) / (interval_s * 1000)) FROM monitors_check,
            (SELECT max(slot) AS until FROM check_runs) AS last
    ), (SELECT count(*) FROM check_runs)
"""


def _facts(database: Any, start: int, end: int, twice: int, dropped: int) -> dict[str, Any]:
    """Compare the slots due between `start` and `end` (epoch milliseconds) with the recorded runs."""
    due = database.execute(
        "SELECT sum((%(end)s - 1 - phase_ms) / (interval_s * 1000) - (%(start)s - 1 - phase_ms) / (interval_s * 1000)) FROM monitors_check",
        {"start": start, "end": end},
    ).fetchone()[0]
    rows = database.execute(
        "SELECT started_after_ms, verdict FROM check_runs WHERE slot >= %s AND slot < %s", [start, end]
    ).fetchall()
    return {
        "lateness": [float(row[0]) for row in rows],
        "slots": {
            "due": int(due),
            "ran": len(rows),
            "unknown": sum(row[1] == 0 for row in rows),
            "dropped": dropped,
            "twice": twice,
        },
    }


def database_url(stack: Stack) -> str:
    return _of_folder(stack, "database_url")


def cache_url(stack: Stack) -> str:
    return _of_folder(stack, "cache_url")


def _of_folder(stack: Stack, name: str) -> str:
    code = f"from django.conf import settings; print(settings.DATA_FOLDER.{name})"
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
        cwd=ROOT,
        env=stack.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def table(result: dict[str, Any]) -> str:
    slots, late, whole = result["slots"], result["lateness_ms"], result["end_to_end_ms"]
    lines = [
        f"{result['rate']} checks a second for {result['seconds']} s, {'TLS' if result['tls'] else 'plain'}, on {result['machine']}",
        f"slots         due {slots['due']}  ran {slots['ran']}  unknown {slots['unknown']}  dropped {slots['dropped']}  twice {slots['twice']}",
        f"whole life    {slots['whole_life']}",
        f"lateness      p50 {late['p50']} ms  p95 {late['p95']} ms  p99 {late['p99']} ms  max {late['max']} ms",
        f"run → message p50 {whole['p50']} ms  p95 {whole['p95']} ms  p99 {whole['p99']} ms  max {whole['max']} ms  ({whole['count']} messages)",
        f"{'process':<12} {'CPU s / 1,000':>14} {'MB':>8}",
    ]
    cpu, memory = result["cpu_s_per_1000"], result["memory_mb"]
    lines += [f"{name:<12} {value:>14.3f} {memory['by_process'][name]:>8}" for name, value in cpu["by_process"].items()]
    lines.append(f"{'total':<12} {cpu['total']:>14.3f} {memory['total']:>8}  ({memory['at_start']} MB at the start)")
    return "\n".join([*lines, *result["warnings"]])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--tls", type=int, choices=(0, 1), default=0)
    parser.add_argument("--probes", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.0, help="of a core, to which each probe worker is held; as root")
    parser.add_argument("--layout", choices=("compact", "separate"), default="compact")
    parser.add_argument("--steady", action="store_true", help="take no target down, so that nothing is to be said")
    arguments = parser.parse_args()
    result = measure(
        arguments.rate,
        arguments.seconds,
        bool(arguments.tls),
        arguments.probes,
        arguments.share,
        arguments.layout,
        arguments.steady,
    )
    print(table(result))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
