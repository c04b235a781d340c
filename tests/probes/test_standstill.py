"""A worker whose event loop was blocked never reports a healthy target as down: such runs are up or unknown."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
import uuid
from typing import Any

import pytest

from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.probes import wire
from apps.probes.contract import Outcome
from apps.probes.engine import Engine, _may_be_worker_fault
from apps.probes.reasons import Reason
from apps.probes.runner import Result
from tests.probes.servers import Reader, Writer, http, served
from tests.probes.test_canary import Settled

JOBS = 40


async def answers_soon(_request: bytes, _reader: Reader, writer: Writer) -> None:
    await asyncio.sleep(0.3)
    writer.write(http())
    await writer.drain()


def looked_at(port: int, *, stands_still_s: float) -> list[dict[str, Any]]:
    """Return the answers to trials of a target, with the event loop blocked for `stands_still_s` seconds meanwhile."""
    sent: queue.Queue[bytes] = queue.Queue()
    engine = Engine("eu", wire.new_region_key(), Network(AddressPolicy(private=True)), sent.put, clock=Settled())
    engine.start()
    job = {"kind": "http", "target": f"http://127.0.0.1:{port}/", "options": {}, "timeout_ms": 1_000}
    engine.submit([{**job, "trial": str(uuid.uuid4())} for _ in range(JOBS)], int(time.time() * 1000))
    threading.Timer(0.1, engine._loop.call_soon_threadsafe, (time.sleep, stands_still_s)).start()
    found: list[dict[str, Any]] = []
    while len(found) < JOBS:
        body = json.loads(json.loads(sent.get(timeout=10))["body"])
        found += [body] if body["type"] == "trial" else []
    engine.stop()
    return found


def test_what_was_under_way_is_up_or_unknown() -> None:
    async def main() -> list[dict[str, Any]]:
        async with served(answers_soon) as port:
            return await asyncio.to_thread(looked_at, port, stands_still_s=2.0)

    answers = asyncio.run(main())
    assert {answer["verdict"] for answer in answers} <= {"unknown", "up"}
    blamed = [answer for answer in answers if answer["verdict"] == "unknown"]
    assert blamed  # otherwise the loop was not blocked during any run
    assert all("seen_too_late" in answer["facts"] for answer in blamed)


@pytest.mark.parametrize(
    ("reason", "took_ms", "stood_still_s", "is_doubtful"),
    [
        (Reason.READ_TIMEOUT, 5_000, 0.5, False),  # blocked for a tenth of the run: no explanation
        (Reason.READ_TIMEOUT, 5_000, 1.5, True),
        (Reason.PACKET_LOSS, 1_000, 1.0, True),
        (Reason.CONNECTION_RESET, 3, 0.5, False),  # the reset came at once
        (Reason.CONNECTION_RESET, 30_000, 29.0, True),
        (Reason.HTTP_STATUS, 20, 29.0, False),
    ],
)
def test_what_a_standstill_explains(reason: Reason, took_ms: int, stood_still_s: float, is_doubtful: bool) -> None:
    result = Result(Outcome.because(reason, "as it was seen"), took_ms)
    assert _may_be_worker_fault(result, stood_still_s) is is_doubtful
