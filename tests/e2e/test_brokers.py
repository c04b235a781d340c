"""Real brokers: the whole product on RabbitMQ; on both, a region's account reaches only its queue and `ingest`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from amqp.exceptions import AccessRefused
from kombu import Connection, Exchange, Queue

from tests.e2e.brokers import RABBITMQ, rabbit, valkey
from tests.e2e.peers import Receiver, Target
from tests.e2e.stack import ROOT, Stack, eventually
from tests.e2e.test_processes import status, watch

PASSWORD = "only-for-ams"


@contextmanager
def running(**environment: str) -> Iterator[Stack]:
    stack = Stack(with_demo=False, **environment)
    try:
        stack.start()
        stack.bootstrap()
        yield stack
    finally:
        stack.remove()


@contextmanager
def worker_of(made: dict[str, Any], broker_url: str) -> Iterator[None]:
    """Run a probe worker that connects with the region's own broker account."""
    environment = {"PATH": os.environ["PATH"], **made["env"], "GORUPTIME_BROKER_URL": broker_url}
    process = subprocess.Popen([sys.executable, "-m", "apps.probes"], cwd=ROOT, env=environment)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def red_and_green(stack: Stack, **options: Any) -> None:
    target, receiver = Target(), Receiver()
    try:
        stack.post("channels/", {"name": "ops", "kind": "webhook", "config": {"url": receiver.url, "secret": receiver.SECRET}})
        check = watch(stack, target.url + "/x", **options)
        eventually(lambda: status(stack, check) == "up", 30)
        target.down.add("/x")
        eventually(lambda: status(stack, check) == "down", 15)
        target.down.clear()
        eventually(lambda: status(stack, check) == "up", 15)
        eventually(lambda: receiver.events(check) == ["incident.opened", "incident.resolved"], 15)
    finally:
        target.close()
        receiver.close()


@pytest.mark.skipif(not RABBITMQ.exists(), reason="Debian's package rabbitmq-server is not installed; .ci/run installs it")
def test_everything_works_on_rabbitmq_and_a_region_reaches_its_own_queue_alone() -> None:
    with rabbit() as server, running(GORUPTIME_BROKER_URL=server.url()) as stack:
        eventually(stack.is_live, 40)
        red_and_green(stack)
        made, other = stack.manage("region", "add", "ams"), stack.manage("region", "add", "fra")
        server.control("add_user", "region-ams", PASSWORD)
        server.control(*made["rabbitmq"])
        url = server.url("region-ams", PASSWORD)
        with worker_of(made, url):
            eventually(lambda: stack.is_live("ams"), 40)
            red_and_green(stack, regions=["ams"])
        _refused_by_rabbitmq(url, other["queue"])


def _refused_by_rabbitmq(url: str, foreign: str) -> None:
    def take(connection: Any, name: str) -> None:
        connection.SimpleQueue(Queue(name, no_declare=True)).get(timeout=1)

    def put(connection: Any, exchange: str, key: str) -> None:
        connection.Producer().publish({}, exchange=Exchange(exchange, no_declare=True), routing_key=key, retry=False)

    acts: list[Callable[[Any], Any]] = [
        lambda connection: take(connection, foreign),
        lambda connection: take(connection, "ingest"),
        lambda connection: take(connection, "core"),
        lambda connection: put(connection, "", foreign),  # the default exchange routes to every queue
        lambda connection: put(connection, "amq.direct", "core"),
        lambda connection: Queue("mine").bind(connection.default_channel).declare(),
        lambda connection: Queue("ingest").bind(connection.default_channel).delete(),
    ]
    for act in acts:
        with Connection(url, transport_options={"confirm_publish": True}) as connection, pytest.raises(AccessRefused):
            act(connection)


def test_a_regions_account_at_valkey_reaches_its_own_queue_alone() -> None:
    with valkey() as port, running(REDIS_URL=f"redis://127.0.0.1:{port}/0") as stack:
        eventually(stack.is_live, 40)
        made = stack.manage("region", "add", "ams")
        root: Any = redis.Redis(port=port)
        rules = [part.replace("PASSWORD", PASSWORD) for part in made["valkey"]]
        root.execute_command(*rules)
        with worker_of(made, f"redis://region-ams:{PASSWORD}@127.0.0.1:{port}/0"):
            eventually(lambda: stack.is_live("ams"), 40)
            red_and_green(stack, regions=["ams"])
        account: Any = redis.Redis(port=port, username="region-ams", password=PASSWORD)
        assert account.ping()
        for command in (
            "LPUSH probe.fra x", "BRPOP probe.local 1", "BRPOP ingest 1", "LLEN ingest", "DEL ingest", "LPUSH core x", "LPUSH tick x",
            "HGET unacked.ingest x", "HGET unacked x", "GET goruptime:1:x", "KEYS *", "SCAN 0", "FLUSHALL", "CONFIG GET *", "ACL LIST",
            "SADD _kombu.binding.ingest x", "SET ingest x", "CLIENT LIST", "SUBSCRIBE x", "MONITOR", "SHUTDOWN",
        ):  # fmt: skip
            with pytest.raises(redis.exceptions.NoPermissionError):
                account.execute_command(*command.split())
