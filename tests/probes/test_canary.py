"""Canaries: a worker whose own network is broken reports failures as unknown. Retries within a run, and their facts."""

from __future__ import annotations

import asyncio
import json
import queue
import time
import uuid
from typing import Any

import pytest

from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.probes import runner, wire
from apps.probes.canary import Canaries
from apps.probes.core_time import CoreClock
from apps.probes.engine import Engine
from apps.probes.wire import Job
from tests.probes.servers import NOW_MS, Reader, Writer, served, stalls, talked, unused_port


class Settled(CoreClock):
    """A core clock that counts as settled from the start."""

    def is_settled(self) -> bool:
        return True


def reported(canaries: Canaries, target: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the answer to a trial of `target`, and the worker's heartbeat."""
    sent: queue.Queue[bytes] = queue.Queue()
    key = wire.new_region_key()
    engine = Engine("eu", key, Network(AddressPolicy(private=True)), sent.put, clock=Settled(), canaries=canaries)
    engine.start()
    job = {"trial": str(uuid.uuid4()), "kind": "tcp", "target": target, "options": {}, "timeout_ms": 1_000}
    engine.submit([job], int(time.time() * 1000))
    found: dict[str, dict[str, Any]] = {}
    while {"trial", "heartbeat"} - found.keys():
        body = json.loads(json.loads(sent.get(timeout=10))["body"])
        found[body["type"]] = body
    engine.stop()
    return found["trial"], found["heartbeat"]


def test_a_worker_that_reaches_no_canary_reports_unknown() -> None:
    dead = [f"127.0.0.1:{unused_port()}", f"http://127.0.0.1:{unused_port()}/x"]
    answer, heartbeat = reported(Canaries(dead), f"127.0.0.1:{unused_port()}")
    assert (answer["verdict"], answer["reason"]["code"]) == ("unknown", "internal")
    assert answer["facts"]["seen_without_network"]["reason"] == "connect_refused"
    assert heartbeat["canaries"] == dict.fromkeys(dead, False)


def test_one_canary_is_enough_to_believe_a_failure() -> None:
    async def main() -> tuple[dict[str, Any], dict[str, Any]]:
        async with served(stalls) as port:
            canaries = Canaries([f"127.0.0.1:{unused_port()}", f"127.0.0.1:{port}"])
            return await asyncio.to_thread(reported, canaries, f"127.0.0.1:{unused_port()}")

    answer, heartbeat = asyncio.run(main())
    assert (answer["verdict"], answer["reason"]["code"]) == ("down", "connect_refused")
    assert sorted(heartbeat["canaries"].values()) == [False, True]


def test_without_canaries_and_for_what_is_up_nothing_is_looked_at() -> None:
    answer, heartbeat = reported(Canaries(()), f"127.0.0.1:{unused_port()}")
    assert (answer["reason"]["code"], heartbeat["canaries"]) == ("connect_refused", {})


def test_looks_are_shared_and_a_later_failure_asks_for_a_later_look() -> None:
    connections: list[float] = []

    async def counts(reader: Reader, _writer: Writer) -> None:
        connections.append(time.monotonic())
        await reader.read()

    async def main() -> None:
        async with talked(counts) as port:
            canaries, loop = Canaries([f"127.0.0.1:{port}"]), asyncio.get_running_loop()
            now = loop.time()
            assert await asyncio.gather(*(canaries.reach_any(since=now) for _ in range(50))) == [True] * 50
            assert len(connections) == 1
            assert await canaries.reach_any(since=now)
            assert len(connections) == 1
            assert await canaries.reach_any(since=loop.time())
            assert len(connections) == 2
            await canaries.close()

    asyncio.run(main())


@pytest.mark.parametrize("target", ["", "example.org", "ftp://example.org/", "example.org:99999"])
def test_what_is_no_canary_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="no canary"):
        Canaries([target])


# --- retries within a run


def tried(talk: Any, retries: int, timeout_ms: int = 3_000, **options: Any) -> Any:
    async def main() -> Any:
        network = Network(AddressPolicy(private=True))
        async with talked(talk) as port:
            job = Job(uuid.uuid4().hex, 1, 0, "http", f"http://127.0.0.1:{port}/", options, timeout_ms, retries=retries)
            try:
                return (await runner.run(job, network, NOW_MS)).outcome
            finally:
                await network.close()

    return asyncio.run(main())


def answering(*statuses: int) -> Any:
    left = list(statuses)

    async def talk(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = left.pop(0) if len(left) > 1 else left[0]
        writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok" % status)
        await writer.drain()

    return talk


def test_a_failure_that_passes_is_up_and_every_attempt_is_told() -> None:
    outcome = tried(answering(503, 200), retries=2)
    assert (outcome.verdict, outcome.reason) == ("up", None)
    assert [attempt["reason"] for attempt in outcome.facts["attempts"]] == ["http_status", None]


@pytest.mark.parametrize(
    ("statuses", "retries", "attempts"),
    [((503,), 2, 3), ((503,), 0, None), ((404,), 3, None), ((429,), 3, None)],
)
def test_only_what_may_pass_is_tried_again_and_no_more_than_allowed(
    statuses: tuple[int, ...], retries: int, attempts: int | None
) -> None:
    outcome = tried(answering(*statuses), retries=retries)
    assert outcome.verdict == "down"
    assert len(outcome.facts.get("attempts", [])) == (attempts or 0)


def test_attempts_end_with_the_timeout_of_the_run() -> None:
    began = time.monotonic()
    outcome = tried(answering(503), retries=1_000, timeout_ms=1_200)
    assert time.monotonic() - began < 2
    assert outcome.verdict == "down"
    assert 2 <= len(outcome.facts["attempts"]) < 50
