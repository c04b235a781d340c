from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from apps.net.guard import AddressPolicy
from apps.net.network import Network
from apps.probes import runner
from apps.probes.contract import OptionError
from apps.probes.kinds.tcp import parse
from apps.probes.wire import Job
from tests.probes.servers import NOW_MS, says, served, unused_port


async def probe(target: str, policy: AddressPolicy | None = None) -> Any:
    network = Network(policy or AddressPolicy(private=True))
    try:
        return (await runner.run(Job(uuid.uuid4().hex, 1, 0, "tcp", target, {}, 1_000), network, NOW_MS)).outcome
    finally:
        await network.close()


def test_a_listener_is_up_and_a_closed_port_refuses() -> None:
    async def main() -> tuple[Any, Any]:
        async with served(says(b"")) as port:
            return await probe(f"127.0.0.1:{port}"), await probe(f"127.0.0.1:{unused_port()}")

    up, refused = asyncio.run(main())
    assert (up.verdict, up.facts["address"]) == ("up", "127.0.0.1")
    assert (refused.verdict, refused.reason) == ("down", "connect_refused")


def test_a_refused_address_is_blocked() -> None:
    assert asyncio.run(probe("127.0.0.1:80", AddressPolicy())).reason == "blocked_address"


@pytest.mark.parametrize(
    "target",
    ["example.org", ":80", "example.org:", "example.org:0", "example.org:65536", "::1:80", "a b:80", "e.org:8_0", "127.1:80"],
)
def test_a_bad_target_is_refused(target: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(target, {})
    assert caught.value.field == "target"


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert (parse("[::1]:80", {}).host, parse("[::1]:80", {}).port) == ("::1", 80)
