"""A load generator: several keep-alive clients at once; measures response times and the CPU time of processes."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

CLIENTS = 4


@dataclass(frozen=True)
class Load:
    """What was measured under load; `cpu_s` is by the name of the process."""

    answers: int
    seconds: float
    taken_ms: list[float]
    """The response times, the shortest first."""
    cpu_s: dict[str, float]
    bytes: int
    """The size of the largest body, compressed where the server does that."""

    def figures(self) -> dict[str, float]:
        return {
            "per_s": round(self.answers / self.seconds),
            "p50_ms": round(self.taken_ms[self.answers // 2], 1),
            "p99_ms": round(self.taken_ms[int(self.answers * 0.99)], 1),
        }


def under_load(port: int, paths: Sequence[str], count: int, pids: Mapping[str, int]) -> Load:
    """Send `count` GET requests from `CLIENTS` clients and measure them. Raises AssertionError if a status is not 200.

    Each client has paths of its own where there are enough.
    """
    _asked(port, paths, 50)
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(_asked, port, paths[n::CLIENTS] or paths, count // CLIENTS) for n in range(CLIENTS)]
        answers = [answer for client in clients for answer in client.result()]
    seconds = time.monotonic() - began
    used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    return Load(len(answers), seconds, sorted(ms for ms, _ in answers), used, max(size for _, size in answers))


def _asked(port: int, paths: Sequence[str], count: int) -> list[tuple[float, int]]:
    """Send `count` requests over one connection and return (milliseconds, bytes) of each response."""
    client, seen = http.client.HTTPConnection("127.0.0.1", port), []
    for number in range(count):
        began = time.perf_counter()
        client.request("GET", paths[number % len(paths)], headers={"Accept-Encoding": "gzip"})
        answer = client.getresponse()
        body = answer.read()
        assert answer.status == 200
        seen.append(((time.perf_counter() - began) * 1000, len(body)))
    return seen


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process and its descendants have used."""
    process = psutil.Process(pid)
    return sum(sum(part.cpu_times()[:2]) for part in [process, *process.children(recursive=True)])
