"""Run one probe of the kind `http`, for its tests."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.probes import runner
from apps.probes.wire import Job
from tests.probes.servers import NOW_MS, Handler, served

LOCAL = AddressPolicy(private=True)


async def probe(url: str, policy: AddressPolicy = LOCAL, timeout_ms: int = 1_000, ca_file: str = "", **options: Any) -> Any:
    network = Network(policy, ca_file=ca_file)
    try:
        return await runner.run(Job(uuid.uuid4().hex, 1, 0, "http", url, options, timeout_ms), network, NOW_MS)
    finally:
        await network.close()


def against(handler: Handler, path: str = "/", timeout_ms: int = 1_000, **options: Any) -> Any:
    async def main() -> Any:
        async with served(handler) as port:
            return await probe(f"http://127.0.0.1:{port}{path}", timeout_ms=timeout_ms, **options)

    return asyncio.run(main())
