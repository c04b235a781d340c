"""Faults of the real processes under load, one after another: `python -m benchmarks.chaos --rate 300`.

Some targets have an outage during each fault. Counted are slots due and run, slots run twice, true outages and their
incidents, false incidents, missing and repeated messages; measured is the time until slots run on time again. The last
line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
import redis

from benchmarks.machine import described
from benchmarks.pipeline import INTERVAL_S, Target, cache_url, database_url
from tests.e2e.peers import Receiver
from tests.e2e.stack import ROOT, Stack, eventually

CALM_S, PAUSED_S, SETTLES_S = 10, 20, 120
FLIPPED = 20
_WINDOW_S, _LATEST_S = 4.0, 2.0


@dataclass(frozen=True)
class FaultResult:
    """What was counted and measured for one fault."""

    name: str
    recovered_s: float
    """Seconds from the end of the fault until nearly all slots run on time again."""
    due: int
    ran: int
    twice: int
    outages: int
    incidents: int
    invented: int
    """Incidents of checks whose target was up."""
    missing: int
    """Messages that should have been sent and did not arrive."""
    doubled: int


class LoadedStack:
    """A stack under load, with its target and its webhook receiver."""

    def __init__(self, stack: Stack, target: Target, receiver: Receiver, rate: int) -> None:
        self.stack, self.target, self.receiver = stack, target, receiver
        self.checks = rate * INTERVAL_S
        self.database = psycopg.connect(database_url(stack), autocommit=True)

    def inject(self, name: str, fault: Callable[[], None]) -> FaultResult:
        """Cause a fault and return its figures; the outages of some targets begin before the fault and end after it."""
        start, received, twice = time.time(), len(self.receiver.got), self.target.twice()
        failing = random.sample(range(self.checks), FLIPPED)
        for index in failing:
            self.target.say(f"down /{index}")
        time.sleep(CALM_S)
        fault()
        ended = time.time()
        recovered = self._until(lambda: self._runs_on_time(ended), ended) - _WINDOW_S
        self._until(lambda: self._status("down") >= FLIPPED, time.time())
        for index in failing:
            self.target.say(f"up /{index}")
        self._until(lambda: self._status("up") >= self.checks, time.time())
        names = {f"bench {index}" for index in failing}
        messages = Counter(
            (message["check"]["name"], message["event"])
            for _, message in self._messages(received, 2 * FLIPPED)
            if message["check"]
        )
        wanted = {(name, event) for name in names for event in ("incident.opened", "incident.resolved")}
        opened = [row[0] for row in self._query(_INCIDENTS, start - _LATEST_S)]  # its slot is earlier than its run
        due, ran = self._slots(start, time.time() - 5)
        return FaultResult(
            name=name,
            recovered_s=round(recovered, 1),
            due=due,
            ran=ran,
            twice=self.target.twice() - twice,
            outages=len(names),
            incidents=len(opened),
            invented=sum(check not in names for check in opened),
            missing=len(wanted - messages.keys()),
            doubled=sum(count - 1 for count in messages.values()),
        )

    def _messages(self, received: int, count: int) -> list[tuple[float, Any]]:
        until = time.time() + 60
        while len(self.receiver.got) - received < count and time.time() < until:
            time.sleep(0.2)
        time.sleep(2)  # for a message too many to arrive
        return self.receiver.got[received:]

    def _until(self, what: Callable[[], bool], since: float) -> float:
        while True:
            try:
                if what():
                    return time.time() - since
            except psycopg.Error:
                self._connect()
            if time.time() - since > SETTLES_S:
                raise SystemExit(
                    f"not settled within {SETTLES_S} s: {self._query('SELECT status, count(*) FROM incidents_checkstate GROUP BY 1')}"
                )
            time.sleep(0.2)

    def _connect(self) -> None:
        try:
            self.database = psycopg.connect(database_url(self.stack), autocommit=True)
        except psycopg.Error:
            time.sleep(0.5)

    def _query(self, statement: str, *parameters: Any) -> list[Any]:
        return self.database.execute(statement, parameters or None).fetchall()

    def _runs_on_time(self, since: float) -> bool:
        """Return whether 98 % of the slots due between 4 and 2 s ago have run; False until 4 s after `since`."""
        now = time.time()
        if now - _WINDOW_S < since:
            return False
        due, ran = self._slots(now - _WINDOW_S, now - _WINDOW_S / 2)
        return ran >= 0.98 * due

    def _slots(self, start: float, end: float) -> tuple[int, int]:
        span = {"start": int(start * 1000), "end": int(end * 1000)}
        due = self.database.execute(_DUE, span).fetchone()
        ran = self.database.execute("SELECT count(*) FROM check_runs WHERE slot >= %(start)s AND slot < %(end)s", span).fetchone()
        return int(due[0]) if due else 0, int(ran[0]) if ran else 0

    def _status(self, name: str) -> int:
        rows = self._query("SELECT count(*) FROM incidents_checkstate WHERE status = %s", name)
        return int(rows[0][0])


_DUE = "SELECT sum((%(end)s - 1 - phase_ms) / (interval_s * 1000) - (%(start)s - 1 - phase_ms) / (interval_s * 1000)) FROM monitors_check"
_INCIDENTS = (
    "SELECT c.name FROM incidents_incident i JOIN monitors_check c ON c.id = i.check_row_id WHERE i.started_at > to_timestamp(%s)"
)


def faults(stack: Stack) -> Iterator[tuple[str, Callable[[], None]]]:
    for process in ("probe", "ingest", "tick", "beat", "core", "notify", "web", "valkey", "postgres"):
        yield f"kill -9 {process}", lambda process=process: _killed(stack, process)  # type: ignore[misc]  # a default argument
    yield f"broker stopped for {PAUSED_S} s", lambda: _stopped(stack, "valkey", PAUSED_S)
    yield f"database stopped for {PAUSED_S} s", lambda: _stopped(stack, "postgres", PAUSED_S)
    yield f"broker refuses writes for {PAUSED_S} s", lambda: _out_of_memory(stack, PAUSED_S)
    yield f"database refuses connections for {PAUSED_S} s", lambda: _refusing(stack, PAUSED_S)
    yield "probe stopped for 30 s", lambda: _stopped(stack, "probe", 30)
    yield "ingest stopped for 30 s", lambda: _stopped(stack, "ingest", 30)


def _killed(stack: Stack, process: str) -> None:
    stack.kill(process)


def _stopped(stack: Stack, process: str, seconds: float) -> None:
    with stack.halted(process):
        time.sleep(seconds)


def _out_of_memory(stack: Stack, seconds: float) -> None:
    """Make the broker reach its memory limit: it refuses writes that need memory, but neither reads nor removals."""
    with redis.Redis.from_url(cache_url(stack)) as broker:
        broker.config_set("maxmemory", 1)
        time.sleep(seconds)
        broker.config_set("maxmemory", 0)


def _refusing(stack: Stack, seconds: float) -> None:
    """End all connections to the database and refuse new ones for that many seconds."""
    url = database_url(stack)
    name = str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
    with psycopg.connect(psycopg.conninfo.make_conninfo(url, dbname="postgres"), autocommit=True) as other:
        other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        time.sleep(seconds)
        other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


def measure(rate: int, only: str) -> dict[str, Any]:
    stack, target, receiver = Stack(GORUPTIME_LAYOUT="separate"), Target(""), Receiver()
    try:
        stack.start()
        stack.bootstrap()
        eventually(stack.is_live, 60)
        stack.post("channels/", {"name": "chaos", "kind": "webhook", "config": {"url": receiver.url, "secret": receiver.SECRET}})
        load = LoadedStack(stack, target, receiver, rate)
        seeding = [sys.executable, "-m", "benchmarks.seed", stack.project, target.url, str(load.checks), str(INTERVAL_S)]
        subprocess.run(seeding, cwd=ROOT, env=stack.environment, check=True)
        eventually(lambda: load._status("up") >= load.checks, 90)
        results = []
        for name, fault in faults(stack):
            if only in name:
                results.append(load.inject(name, fault))
                print(row(results[-1]), flush=True)
        return {"rate": rate, **described(), "faults": [asdict(result) for result in results]}
    finally:
        target.close()
        receiver.close()
        stack.remove()


def row(result: FaultResult) -> str:
    slots = f"slots {result.ran} of {result.due}, twice {result.twice}"
    messages = f"incidents {result.incidents} of {result.outages}, invented {result.invented}, missing {result.missing}, doubled {result.doubled}"
    return f"{result.name:<30} back after {result.recovered_s:5.1f} s  {slots}  {messages}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=300)
    parser.add_argument("--only", default="", help="those faults whose name holds this")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.rate, arguments.only)))


if __name__ == "__main__":
    main()
