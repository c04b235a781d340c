"""The process behind `manage.py up`: starts all programs, restarts those that end, and stops them in order.

One thread and one `select` loop handle the children's output, their ends and our signals. A child that ends is
restarted after a pause that grows with every early end. On Linux our own programs are forks of this process (`forks`),
and the kernel ends all children when it is killed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from apps.core.embedded import forks, postgres, valkey
from apps.core.embedded.folder import DataFolder, FolderError, Lock
from apps.core.embedded.forks import ROOT, ForkedProcess

_BACKOFF_S = (0.2, 0.5, 1, 2, 5, 10, 20)
_HEALTHY_AFTER_S = 30
_STOP_S = 15
_PR_SET_PDEATHSIG = 1
_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92)
_LINE_LIMIT = 4_000
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def dies_with_us(number: int) -> Callable[[], None]:
    """Return a `preexec_fn` by which the kernel sends the child this signal when the supervisor dies, even by SIGKILL.
    It has an effect on Linux only.
    """
    parent = os.getpid()

    def prepare() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, number)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


@dataclass
class Child:
    name: str
    command: list[str]
    environment: Mapping[str, str]
    stop_signal: int = signal.SIGTERM
    identity: postgres.Identity = field(default_factory=postgres.Identity)
    process: subprocess.Popen[bytes] | ForkedProcess | None = None
    started_at: float = 0.0
    starts_at: float = 0.0
    early_ends: int = 0
    rest: bytes = b""

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.started_at = time.monotonic()
        if forks.POSSIBLE and self.command[0] == sys.executable:
            self.process = ForkedProcess(self.command, self.environment, dies_with_us(self.stop_signal))
            return
        self.process = subprocess.Popen(
            self.command,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/" if self.identity else ROOT,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops the children in order
            preexec_fn=dies_with_us(self.stop_signal),
            **self.identity,
        )


class Supervisor:
    def __init__(
        self, folder: DataFolder, environment: dict[str, str], port: int, *, shared: str, probes: int = 1,
        layout: str = "compact", with_demo: bool = False,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._shared = shared
        self._probes = probes
        self._layout = layout
        self._with_demo = with_demo
        self._environment = environment
        self._port = port
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._stop = False
        self._wide = 8
        self._colour = sys.stdout.isatty()

    def say(self, name: str, text: str) -> None:
        prefix = f"{name:<{self._wide}} | "
        if self._colour:
            prefix = f"\x1b[{_COLOURS[sum(map(ord, name)) % len(_COLOURS)]}m{prefix}\x1b[0m"
        sys.stdout.write(f"{prefix}{text}\n")
        sys.stdout.flush()

    def run(self) -> int:
        for number in forks.ENDING:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if our parent ignored it, we would not learn of ended children
        try:
            self._start_servers()
            region = {} if self._stop else self._prepare()
            if not self._stop:
                self._start_all(self._programs(region))
                self._announce()
            while not self._stop:
                self._turn()
        finally:
            self._end_all()
        return 0

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self._stop:
            self.say("up", f"{signal.Signals(number).name}: stopping")
        self._stop = True

    # --- start

    def _start_servers(self) -> None:
        checks: list[tuple[Child, Callable[[], bool]]] = []
        if not self._environment.get("DATABASE_URL") and not self._environment.get("DATABASE_URL_FILE"):
            server = postgres.prepare(self._folder)
            server.clear_stale()
            child = Child("postgres", server.command, server.environment, signal.SIGINT, server.identity)
            checks.append((child, server.is_ready))
        if not self._environment.get("REDIS_URL") and not self._environment.get("REDIS_URL_FILE"):
            checks.append(
                (Child("valkey", valkey.command(self._folder), self._environment), lambda: valkey.is_ready(self._folder))
            )
        self._start_all([child for child, _ in checks])
        for child, is_ready in checks:
            self._wait_for(child, is_ready)
        if checks and checks[0][0].name == "postgres" and not self._stop:
            server.ensure_database()

    def _wait_for(self, child: Child, is_ready: Callable[[], bool]) -> None:
        until = time.monotonic() + 120  # crash recovery may take long
        while not self._stop and not is_ready():
            if time.monotonic() > until:
                raise FolderError(f"{child.name} is not ready after two minutes; its lines above tell why.")
            self._turn()

    def _prepare(self) -> dict[str, str]:
        """Run `manage.py prepare` while importing the shared modules. Raises FolderError.

        Returns the environment of the workers of region `local`.
        """
        command = [sys.executable, "manage.py", "prepare"]
        with subprocess.Popen(command, env=self._environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            if forks.POSSIBLE:
                forks.load(self._shared)
            said, _ = process.communicate()
        if process.returncode:
            raise FolderError("The database could not be prepared; the lines above tell why.")
        region: dict[str, str] = json.loads(said.strip().splitlines()[-1])["env"]
        return region

    def _programs(self, region: dict[str, str]) -> list[Child]:
        def celery(queues: str, threads: int) -> list[str]:
            flags = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
            worker = ["worker", "-Q", queues, "-P", "threads", "-c", str(threads), "-n", f"{queues.partition(',')[0]}@%h"]
            return [sys.executable, "-m", "celery", "--quiet", "-A", "goruptime", *worker, *flags]

        beat = ["beat", "-S", "apps.pipeline.beat:PairScheduler", "--pidfile=", "-l", "WARNING"]
        commands = {"web": [sys.executable, "manage.py", "web", "--bind", f"127.0.0.1:{self._port}"]}
        if self._layout == "compact":
            commands["core"] = [*celery("core,tick,upkeep", 4), "--with-beat"]
        else:
            commands |= {
                "beat": [sys.executable, "-m", "celery", "--quiet", "-A", "goruptime", *beat],
                "tick": celery("tick", 1),
                "core": celery("core", 2),
                "upkeep": celery("upkeep", 1),
            }
        commands |= {"notify": celery("notify", 8), "ingest": [sys.executable, "manage.py", "ingest"]}
        if self._with_demo:
            commands["demo"] = [sys.executable, "manage.py", "demo"]
        children = [Child(name, command, self._environment) for name, command in commands.items()]
        probes = ["probe", *(f"probe-{number}" for number in range(2, self._probes + 1))]
        children += [Child(name, [sys.executable, "-m", "apps.probes"], {**self._environment, **region}) for name in probes]
        first = int(self._environment.get("GORUPTIME_HEALTH_PORT") or 0)
        for place, child in enumerate(child for child in children if first and child.name not in ("web", "demo")):
            child.environment = {**child.environment, "GORUPTIME_HEALTH_PORT": str(first + place)}
        return children

    def _start_all(self, children: list[Child]) -> None:
        for child in children:
            self._children.append(child)
            self._launch(child)

    def _launch(self, child: Child) -> None:
        child.start()
        assert child.process is not None
        assert child.process.stdout is not None
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _announce(self) -> None:
        url = f"http://127.0.0.1:{self._port}"
        self.say("up", f"GoUpTime listens on {url}")
        self.say("up", f"data: {self._folder.path}   API: {url}/api/v1/docs/   stop: Ctrl-C")
        self.say("up", "open it in a browser: the first visit makes your account")

    # --- the loop

    def _turn(self) -> None:
        for key, _ in self._selector.select(timeout=0.25):
            self._read(key.data, key.fileobj)
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._reap(child, now)
            elif child.process is None and now >= child.starts_at and not self._stop:
                self._launch(child)

    def _reap(self, child: Child, now: float) -> None:
        assert child.process is not None
        assert child.process.stdout is not None
        pipe = child.process.stdout
        if pipe in self._selector.get_map():
            self._read(child, pipe)
        if pipe in self._selector.get_map():  # a grandchild still holds it open
            self._selector.unregister(pipe)
        pipe.close()
        code = child.process.poll() or 0
        child.process = None
        if self._stop:
            return
        child.early_ends = 0 if now - child.started_at > _HEALTHY_AFTER_S else child.early_ends + 1
        pause = _BACKOFF_S[min(child.early_ends, len(_BACKOFF_S) - 1)]
        child.starts_at = now + pause
        how = signal.Signals(-code).name if code < 0 else f"code {code}"
        self.say("up", f"{child.name} ended ({how}), started again in {pause:g} s")

    def _read(self, child: Child, pipe: object) -> None:
        try:
            data = os.read(pipe.fileno(), 65_536)  # type: ignore[attr-defined]  # a pipe
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(pipe)  # type: ignore[arg-type]  # a pipe
            return
        *lines, child.rest = (child.rest + data).split(b"\n")
        if len(child.rest) > _LINE_LIMIT:
            lines, child.rest = [*lines, child.rest], b""
        for line in lines:
            self.say(child.name, line.decode(errors="replace").rstrip())

    # --- the end

    def _end_all(self) -> None:
        """Stop the programs first, then the servers that they use."""
        self._stop = True
        servers = {"postgres", "valkey"}
        for group in ([c for c in self._children if c.name not in servers], [c for c in self._children if c.name in servers]):
            self._end(group)
        self.say("up", "stopped")

    def _end(self, group: list[Child]) -> None:
        for child in group:
            if child.is_running and child.process is not None:
                child.process.send_signal(child.stop_signal)
        until = time.monotonic() + _STOP_S
        while any(child.is_running for child in group):
            if time.monotonic() > until:
                for child in group:
                    if child.is_running and child.process is not None:
                        self.say("up", f"{child.name} does not stop, killed")
                        child.process.kill()
                until = time.monotonic() + _STOP_S
            self._turn()


def ensure_port_is_free(port: int) -> None:
    """Raise FolderError if the port cannot be bound. Checked before anything starts: a web server that cannot bind
    would be restarted forever.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            words = error.strerror if isinstance(error, OSError) else "no such port"
            raise FolderError(f"Port {port} cannot be had ({words}): choose another one by PORT= or GORUPTIME_PORT.") from error


def main() -> int:
    parser = argparse.ArgumentParser(prog="manage.py up")
    parser.add_argument("--data", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--shared", required=True, help="the module of what our programs have in common")
    parser.add_argument("--probes", type=int, default=1)
    parser.add_argument("--layout", choices=["compact", "separate"], default="compact")
    parser.add_argument("--demo", action="store_true")
    arguments = parser.parse_args()
    folder = DataFolder(Path(arguments.data))
    environment = {
        **os.environ,
        "CELERY_SKIP_CHECKS": "true",  # `prepare` ran the checks; each worker would import every view for them
        "GORUPTIME_DATA_DIR": arguments.data,
        "GORUPTIME_PORT": str(arguments.port),
    }
    os.environ.update(environment)  # the forks share the settings that are read in this process
    try:
        ensure_port_is_free(arguments.port)
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = Lock(folder)
        holder = lock.take()
        if holder is not None:
            sys.stderr.write(
                f"GoUpTime already runs on {folder.path} (pid {holder}). Stop it first, or set GORUPTIME_DATA_DIR.\n"
            )
            return 1
        folder.prepare()
        try:
            return Supervisor(
                folder, environment, arguments.port,
                shared=arguments.shared, probes=arguments.probes, layout=arguments.layout, with_demo=arguments.demo,
            ).run()  # fmt: skip
        finally:
            shutil.rmtree(folder.runtime, ignore_errors=True)  # sockets of servers that have ended
    except (FolderError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _main_and_leave() -> None:
    """Run `main` and end with `os._exit`: a normal exit would wait for forks, forever if one does not end."""
    code = 1
    try:
        code = main()
    except Exception:  # noqa: BLE001  # the process must end with its traceback printed
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _main_and_leave()
