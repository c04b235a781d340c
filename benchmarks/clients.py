"""Several keep-alive clients at once, one request after another each, and what the server's processes used for it."""

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
    answers: int
    seconds: float
    taken_ms: list[float]
    """Of each answer, the quickest first."""
    cpu_s: dict[str, float]
    bytes: int
    """Of the largest body."""

    def figures(self) -> dict[str, float]:
        return {
            "per_s": round(self.answers / self.seconds),
            "p50_ms": round(self.taken_ms[self.answers // 2], 1),
            "p99_ms": round(self.taken_ms[int(self.answers * 0.99)], 1),
        }


def under_load(port: int, paths: Sequence[str], count: int, pids: Mapping[str, int]) -> Load:
    """Each client asks for paths of its own where there are enough. An answer other than 200 is an AssertionError."""
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
    """(milliseconds, bytes) of each answer."""
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
    """Of a process and what it started."""
    process = psutil.Process(pid)
    return sum(sum(part.cpu_times()[:2]) for part in [process, *process.children(recursive=True)])
