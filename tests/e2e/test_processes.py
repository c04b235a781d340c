"""The real processes while some of them are killed and restarted: no state or message is lost, repeated or wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.peers import Receiver, Target
from tests.e2e.stack import ROOT, Stack, eventually

CHECKS = 12


def _heard(receiver: Receiver, check: str, wanted: list[str]) -> bool:
    return receiver.events(check) == wanted


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack()
    try:
        stack.start()
        stack.bootstrap()
        eventually(stack.is_live, 40)
        yield stack
    finally:
        stack.remove()


@pytest.fixture
def peers(stack: Stack) -> Iterator[tuple[Target, Receiver]]:
    target, receiver = Target(), Receiver()
    channel = stack.post(
        "channels/", {"name": "ops", "kind": "webhook", "config": {"url": receiver.url, "secret": receiver.SECRET}}
    )
    yield target, receiver
    for check in stack.all("checks/"):
        stack.call("DELETE", f"/api/v1/checks/{check['id']}/")
    stack.call("DELETE", f"/api/v1/channels/{channel['id']}/")
    target.close()
    receiver.close()


def watch(stack: Stack, url: str, **options: Any) -> str:
    made: str = stack.post(
        "checks/", {"name": url.rpartition("/")[2] or "site", "kind": "http", "target": url, "interval_s": 5, **options}
    )["id"]
    return made


def status(stack: Stack, check: str) -> str:
    shown: str = stack.get(f"checks/{check}/")["status"]
    return shown


def test_a_site_goes_red_and_green(stack: Stack, peers: tuple[Target, Receiver]) -> None:
    target, receiver = peers
    check = watch(stack, target.url + "/")
    eventually(lambda: status(stack, check) == "up", 15)
    port = target.port
    target.close()
    stopped = time.time()
    eventually(lambda: status(stack, check) == "down", 10)
    assert stack.get(f"checks/{check}/")["reason"]["code"] == "connect_refused"
    (incident,) = stack.all(f"incidents/?check={check}")
    assert incident["status"] == "open"
    eventually(lambda: receiver.events(check) == ["incident.opened"], 5)
    time.sleep(5)
    reborn = Target(port)
    try:
        started = time.time()
        eventually(lambda: status(stack, check) == "up", 10)
        eventually(lambda: receiver.events(check) == ["incident.opened", "incident.resolved"], 5)
        (incident,) = stack.all(f"incidents/?check={check}")
        assert abs(incident["duration_s"] - (started - stopped)) <= 5
        sums = stack.get(f"checks/{check}/uptime/?period=1h")
        assert sums["down_s"] == incident["downtime_s"] == incident["duration_s"]
        assert receiver.forged == 0
    finally:
        reborn.close()


@pytest.mark.parametrize("victims", [("probe", "ingest", "notify"), ("core",), ("valkey",), ("postgres",)], ids="+".join)
def test_killed_under_way_it_goes_on_by_itself(stack: Stack, peers: tuple[Target, Receiver], victims: tuple[str, ...]) -> None:
    target, receiver = peers
    checks = {watch(stack, f"{target.url}/{index}"): f"/{index}" for index in range(CHECKS)}
    eventually(lambda: all(check["status"] == "up" for check in stack.all("checks/")), 20)
    half = set(list(checks.values())[: CHECKS // 2])
    target.down |= half
    time.sleep(1.5)
    for victim in victims:
        stack.kill(victim)
    expected = {check: "down" if path in half else "up" for check, path in checks.items()}
    eventually(lambda: {check["id"]: check["status"] for check in stack.all("checks/")} == expected, 60)
    target.down.clear()
    eventually(lambda: all(check["status"] == "up" for check in stack.all("checks/")), 30)
    for check, path in checks.items():
        wanted = ["incident.opened", "incident.resolved"] if path in half else []
        eventually(partial(_heard, receiver, check, wanted), 20)
        assert len(stack.all(f"incidents/?check={check}")) == len(wanted) // 2
    keys = [message["id"] for _, message in receiver.got]
    assert len(keys) == len(set(keys))


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the Python of a virtual environment that holds `requirements/probe.txt` alone, so no Django."""
    folder = tmp_path_factory.mktemp("probe")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = f"{folder}/bin/python"
    uv = str(Path(sys.executable).with_name("uv"))
    options = ["--quiet", "--system-certs", "--python", python, "--require-hashes"]
    install = [uv, "pip", "install", *options, "-r", "requirements/probe.txt"]
    subprocess.run(install, cwd=ROOT, check=True)
    done = subprocess.run([python, "-c", "import django"], capture_output=True, check=False)
    assert done.returncode != 0
    return python


class Worker:
    """A probe worker of a region, run by the Python of `bare_python`."""

    def __init__(self, stack: Stack, python: str, slug: str, **changes: str) -> None:
        made = stack.manage("region", "add", slug)
        environment = {"PATH": os.environ["PATH"], **made["env"], **changes}
        self._process = subprocess.Popen([python, "-m", "apps.probes"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)

    def kill(self, number: int = signal.SIGKILL) -> None:
        self._process.send_signal(number)
        self._process.wait(30)


def test_two_regions_vote_and_a_stranger_does_not(stack: Stack, peers: tuple[Target, Receiver], bare_python: str) -> None:
    target, _receiver = peers
    # `fra` may not probe 127.0.0.1, so it reports the target as down. So would `liar`, but it signs with a wrong key.
    ams = Worker(stack, bare_python, "ams")
    fra = Worker(stack, bare_python, "fra", GORUPTIME_DENIED_NETWORKS="127.0.0.1/32")
    liar = Worker(stack, bare_python, "ams", GORUPTIME_REGION_KEY="A" * 43 + "=", GORUPTIME_DENIED_NETWORKS="127.0.0.0/8")
    try:
        eventually(lambda: stack.is_live("ams") and stack.is_live("fra"), 40)
        liar.kill()
        both = watch(stack, target.url + "/both", regions=["ams", "fra"], quorum=2)
        majority = watch(stack, target.url + "/majority", regions=["ams", "fra"])
        eventually(lambda: status(stack, both) == "warn", 20)
        assert stack.get(f"checks/{both}/")["reason"]["code"] == "regions_disagree"
        assert stack.all(f"incidents/?check={both}") == []
        target.down |= {"/both", "/majority"}
        eventually(lambda: status(stack, both) == "down", 15)
        fra.kill()
        target.down.clear()
        eventually(lambda: status(stack, both) == "unknown", 60)
        eventually(lambda: status(stack, majority) == "up", 60)
    finally:
        ams.kill(signal.SIGTERM)
        fra.kill() if fra._process.poll() is None else None


def test_a_second_start_says_that_one_is_running(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "up", "--port", "1"],
        cwd=ROOT,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert f"already runs on {stack.home}/data (pid {stack.pid})" in done.stderr


def _alive(children: dict[str, int]) -> list[str]:
    """Return the names of the processes that still run; a zombie does not count."""
    statuses = {name: Path(f"/proc/{pid}/status") for name, pid in children.items()}
    return [name for name, status in statuses.items() if status.exists() and "zombie" not in status.read_text()]


def test_killed_itself_its_children_end_and_the_next_start_finds_all_history() -> None:
    stack, target = Stack(), Target()
    try:
        stack.start()
        stack.bootstrap()
        check = watch(stack, target.url + "/")
        eventually(lambda: status(stack, check) == "up", 25)
        children = stack.children()
        assert set(children) == {"web", "core", "notify", "ingest", "probe", "postgres", "valkey"}
        stack.kill_supervisor()
        eventually(lambda: not _alive(children), 20, failed=lambda: _alive(children))
        stopped = time.time()
        stack.start()
        eventually(lambda: status(stack, check) == "up", 40)
        assert stack.all("incidents/") == []
        sums = stack.get(f"checks/{check}/uptime/?period=1h")
        assert sums["down_s"] == 0
        assert sums["unknown_s"] >= int(time.time() - stopped) - 15
        assert stack.stop() == 0
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", stack.port)) != 0
    finally:
        target.close()
        stack.remove()
