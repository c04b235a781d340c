"""Uptime Kuma at the rate and with the target of `benchmarks.pipeline`: `python -m benchmarks.kuma --folder F --rate 25`.

The folder holds a checkout of Uptime Kuma 2 that is installed and built (`npm ci && npm run build`). It runs with SQLite
in a data folder of its own. CPU is that of its process with all descendants.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

from benchmarks.machine import described
from benchmarks.pipeline import INTERVAL_S, WARM_UP_S, Target, flip_until

_START_S = 15
_IDLE_S = 30


class Sink:
    """A webhook receiver that counts messages."""

    def __init__(self) -> None:
        self.messages = 0
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args: object) -> None:
                pass

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                sink.messages += 1
                self.send_response(204)
                self.end_headers()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def measure(folder: Path, rate: int, seconds: int, steady: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as data:
        port = _free_port()
        log = Path(data) / "kuma.log"
        environment = {
            **os.environ,
            "DATA_DIR": f"{data}/",
            "UPTIME_KUMA_HOST": "127.0.0.1",
            "UPTIME_KUMA_PORT": str(port),
            "UPTIME_KUMA_DB_TYPE": "sqlite",
            "NODE_ENV": "production",
        }
        with log.open("w") as output:
            kuma = subprocess.Popen(["node", "server/server.js"], cwd=folder, env=environment, stdout=output, stderr=output)
        target, sink = Target(""), Sink()
        try:
            return _measured(psutil.Process(kuma.pid), port, folder, target, sink, rate, seconds, steady)
        finally:
            kuma.terminate()
            kuma.wait(20)
            target.close()
            sink.close()


def _measured(
    kuma: psutil.Process, port: int, folder: Path, target: Target, sink: Sink, rate: int, seconds: int, steady: bool
) -> dict[str, Any]:
    time.sleep(_START_S)
    idle = _cpu_s(kuma)
    time.sleep(_IDLE_S)
    idle = (_cpu_s(kuma) - idle) / _IDLE_S
    checks = rate * INTERVAL_S
    filler = Path(__file__).with_name("kuma_fill.cjs")
    subprocess.run(["node", filler, str(port), target.url, sink.url, str(checks), str(INTERVAL_S)], cwd=folder, check=True)
    time.sleep(WARM_UP_S)
    cpu, requests, messages = _cpu_s(kuma), target.requests(), sink.messages
    if steady:
        time.sleep(seconds)
    else:
        flip_until(target, checks, time.time() + seconds)
    cpu, requests, messages = _cpu_s(kuma) - cpu, target.requests() - requests, sink.messages - messages
    package = json.loads((folder / "package.json").read_text())
    return {
        "program": f"Uptime Kuma {package['version']}",
        "rate": rate,
        "seconds": seconds,
        "steady": steady,
        **described(),
        "ran": requests,
        "messages": messages,
        "cpu_s_per_1000": round(cpu / requests * 1000, 2),
        "idle_percent_of_a_core": round(idle * 100, 1),
        "memory_mb": round(sum(p.memory_full_info().pss for p in _tree(kuma)) / 1e6),
    }


def _tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu_s(process: psutil.Process) -> float:
    """Return CPU seconds of the process, of its descendants and of those that ended."""
    return sum(sum(p.cpu_times()[:4]) for p in _tree(process))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--steady", action="store_true", help="take no target down")
    arguments = parser.parse_args()
    result = measure(arguments.folder, arguments.rate, arguments.seconds, arguments.steady)
    print(
        f"{result['program']}: {result['cpu_s_per_1000']} CPU s per 1,000 at {result['ran'] / result['seconds']:.1f} a second, "
        f"{result['memory_mb']} MB; idle {result['idle_percent_of_a_core']} % of a core"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
