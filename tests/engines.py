"""A pytest plugin, loaded before Django's settings: starts an embedded PostgreSQL and Valkey for this test run."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from apps.core.embedded import postgres, valkey
from apps.core.embedded.folder import DataFolder
from apps.core.embedded.supervisor import dies_with_us

_QUICK = ["--fsync=off", "--synchronous_commit=off", "--full_page_writes=off"]


def start() -> None:
    """Start both servers and put their URLs into the environment; they are stopped when this process exits."""
    home = Path(tempfile.mkdtemp(prefix="goruptime-test-"))
    folder = DataFolder(home)
    folder.prepare()
    server = postgres.prepare(folder)
    processes = [
        _spawn([*server.command, *_QUICK], signal.SIGINT, env=server.environment, **server.identity),
        _spawn(valkey.command(folder), signal.SIGTERM),
    ]
    _wait(server.is_ready)
    _wait(lambda: valkey.is_ready(folder))
    server.ensure_database()
    keys = folder.keys()
    os.environ.update(
        GORUPTIME_DATA_DIR=str(home),
        DATABASE_URL=folder.database_url,
        REDIS_URL=folder.cache_url,
        GORUPTIME_BROKER_URL=folder.broker_url,
        GORUPTIME_SECRET_KEY=keys.secret_key,
        GORUPTIME_ENCRYPTION_KEYS=keys.encryption_key,
        GORUPTIME_PRIVATE_TARGETS="allowed",
    )

    def stop() -> None:
        for process, number in zip(processes, (signal.SIGINT, signal.SIGTERM), strict=True):
            process.send_signal(number)
        for process in processes:
            process.wait(20)
        for path in (server.data, folder.runtime, home):
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(stop)


def _spawn(command: list[str], number: int, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]  # user, group and environment as given
        command, cwd="/", preexec_fn=dies_with_us(number), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    )


def _wait(is_ready: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not is_ready():
        if time.monotonic() > until:
            raise RuntimeError("the embedded engines did not start")
        time.sleep(0.02)


if "PYTEST_XDIST_WORKER" not in os.environ:
    start()
else:  # each xdist worker has a cache database of its own, since tests clear the cache
    os.environ["REDIS_URL"] = (
        os.environ["REDIS_URL"].partition("?")[0] + f"?db={1 + int(os.environ['PYTEST_XDIST_WORKER'].removeprefix('gw')) % 15}"
    )
