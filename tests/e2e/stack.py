"""Start `manage.py up`, call its API, and kill or suspend its processes by name."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from apps.core.embedded.supervisor import dies_with_us

ROOT = Path(__file__).resolve().parents[2]
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
MARKS = {
    "web": "manage.py web",
    "beat": "-A goruptime beat",
    "tick": "-Q tick",
    "core": "-Q core",
    "notify": "-Q notify",
    "upkeep": "-Q upkeep",
    "ingest": "manage.py ingest",
    "probe": "apps.probes",
    "postgres": "bin/postgres",
    "valkey": "valkey-server",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: Callable[[], Any], within_s: float, pause_s: float = 0.1, failed: Callable[[], Any] = str) -> Any:
    """Call `what` every `pause_s` seconds and return its first true result.

    Raises AssertionError with its last result and that of `failed` once `within_s` seconds are over.
    """
    until = time.monotonic() + within_s
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < until, f"not within {within_s} s: {answer!r} {failed()}"
        time.sleep(pause_s)


class Stack:
    """One installation: a data folder, the supervisor with its processes, and a client of its API."""

    def __init__(self, *, with_demo: bool = False, **environment: str) -> None:
        self._with_demo = with_demo
        self.home = Path(tempfile.mkdtemp(prefix="goruptime-e2e-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self.environment = {**inherited, "GORUPTIME_DATA_DIR": str(self.home / "data"), **environment}
        self.key = ""
        self.project = ""
        self._process: subprocess.Popen[bytes] | None = None
        self.log = self.home / "log.txt"

    # --- processes

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "manage.py", "up", "--port", str(self.port), *(["--demo"] if self._with_demo else [])]
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=dies_with_us(signal.SIGTERM),
            )
        eventually(lambda: self.call("GET", "/readyz")[0] == 200, 60)

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60)

    def kill_supervisor(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()
        note = self.home / "data" / "postgres.location"
        if note.exists():
            shutil.rmtree(note.read_text().splitlines()[0], ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def children(self) -> dict[str, int]:
        """Return the pids of the supervisor's children by name; a second one of a name is `name-2`."""
        found: dict[str, int] = {}
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            try:
                command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            for name in (name for name, mark in MARKS.items() if mark in command):
                same = sum(other.partition("-")[0] == name for other in found)
                found[f"{name}-{same + 1}" if same else name] = int(child)
        return found

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        pid = self.children()[name]
        os.kill(pid, number)
        return pid

    @contextmanager
    def halted(self, name: str) -> Iterator[None]:
        """Suspend a process with its descendants: PostgreSQL answers from children, each in a session of its own."""
        process = psutil.Process(self.children()[name])
        stopped = [process, *process.children(recursive=True)]
        for part in stopped:
            part.suspend()
        try:
            yield
        finally:
            for part in reversed(stopped):
                with suppress(psutil.NoSuchProcess):
                    part.resume()

    def manage(self, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    # --- the API

    def bootstrap(self) -> None:
        names = ("--email", "owner@example.org", "--password", "correct horse", "--org", "Acme", "--project", "Web")
        made = self.manage("bootstrap", *names)
        self.key, self.project = made["api_key"], made["project_id"]

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "X-API-Key": self.key}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, _parsed(response.read())
        except urllib.error.HTTPError as error:
            return error.code, _parsed(error.read())
        except OSError:
            return 0, None

    def get(self, path: str) -> Any:
        until = time.monotonic() + 20
        status, body = self.call("GET", f"/api/v1/{path}")
        while status in (0, 503) and time.monotonic() < until:  # web or database was just killed
            time.sleep(0.2)
            status, body = self.call("GET", f"/api/v1/{path}")
        assert status == 200, (path, status, body)
        return body

    def post(self, path: str, body: Any = None) -> Any:
        status, answer = self.call("POST", f"/api/v1/{path}", body if body is not None else {})
        assert status in (200, 201, 202), (path, status, answer)
        return answer

    def all(self, path: str) -> list[Any]:
        """Return the rows of all pages of a list."""
        rows: list[Any] = []
        page = self.get(f"{path}{'&' if '?' in path else '?'}limit=200")
        while True:
            rows += page["results"]
            if not page["next"]:
                return rows
            page = self.get(page["next"].partition("/api/v1/")[2])

    def is_live(self, region: str = "local") -> bool:
        return any(row["slug"] == region and row["is_live"] for row in self.get("regions/")["results"])


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return data
