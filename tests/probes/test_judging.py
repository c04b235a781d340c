"""What a tenant writes about a body holds neither the event loop nor the threads for long."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
import uuid
from typing import Any

import pytest

from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.probes import judging, runner
from apps.probes.contract import Outcome
from apps.probes.reasons import Reason, Verdict
from apps.probes.wire import Job
from tests.probes.servers import NOW_MS, Reader, Writer, served

BINARY = "".join(random.Random(1).choice("01") for _ in range(60_000))
NESTED: Any = json.dumps([[[[[1] * 29_000]]]])
ZEROS = "[" + ",".join("0" * 8) + "]"


def answering(body: str) -> Any:
    async def serve(_head: bytes, _reader: Reader, writer: Writer) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    return serve


@pytest.mark.parametrize(
    ("body", "assertions"),
    [
        (NESTED, [f"[json.${ZEROS}{ZEROS}{ZEROS}[0,0,0]] not contains zzz"]),
        (NESTED, [f"[json.${ZEROS}{ZEROS}{ZEROS}{ZEROS}] not contains zzz"]),
        (NESTED, ["[json.$[0,0,0,0,0,0,0,0]] not matches zzz"] * 20),
        (BINARY, ["[body] not matches ((((0|1)*1)*(0|1){60})*x)"] * 20),
    ],
)
def test_an_expensive_assertion_leaves_the_loop_to_others(body: str, assertions: list[str]) -> None:
    async def main() -> tuple[Any, float]:
        network, longest = Network(AddressPolicy(private=True)), 0.0

        async def beat() -> None:
            nonlocal longest
            while True:
                began = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - began)

        beating = asyncio.create_task(beat())
        async with served(answering(body)) as port:
            job = Job(uuid.uuid4().hex, 1, 0, "http", f"http://127.0.0.1:{port}/", {"assertions": assertions}, 8_000)
            result = await runner.run(job, network, NOW_MS)
        beating.cancel()
        await network.close()
        return result.outcome, longest

    outcome, longest_s = asyncio.run(main())
    assert longest_s < 2.5  # a thread has three seconds
    assert (outcome.verdict, outcome.reason) in {("up", None), ("down", "assertion_failed"), ("down", "body_mismatch")}, outcome


def test_one_tenant_waits_for_itself_and_not_the_others() -> None:
    may_end = threading.Event()

    def slow(_budget: Any) -> Outcome:
        may_end.wait(5)
        return Outcome(Verdict.UP)

    async def main() -> list[Outcome]:
        soon = asyncio.get_running_loop().time() + 0.3
        mine = [judging.run_bounded(slow, size=10**6, deadline=soon, tenant="a") for _ in range(10)]
        running = [asyncio.ensure_future(one) for one in mine]
        other = await judging.run_bounded(lambda _budget: Outcome(Verdict.UP), size=10**6, deadline=soon, tenant="b")
        found = await asyncio.gather(*running)
        may_end.set()
        return [other, *found]

    other, *mine = asyncio.run(main())
    assert other.verdict == Verdict.UP
    assert {one.reason for one in mine} == {Reason.INTERNAL}
