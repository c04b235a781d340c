"""Concurrent libcurl transfers end independently, cancelled ones too; a failed multi handle blames no target."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import pycurl
import pytest

from apps.net.multi import Multi
from tests.probes.servers import http, says, served, stalls, unused_port


def a_get(port: int) -> tuple[pycurl.Curl, list[bytes]]:
    curl, seen = pycurl.Curl(), list[bytes]()
    for option, value in (
        (pycurl.URL, f"http://127.0.0.1:{port}/"),
        (pycurl.WRITEFUNCTION, seen.append),
        (pycurl.TIMEOUT_MS, 5_000),
    ):
        curl.setopt(option, value)
    return curl, seen


def driven(work: Callable[[Multi], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        multi = Multi()
        try:
            return await work(multi)
        finally:
            multi.close()

    return asyncio.run(main())


quick = says(http(body=b"ok"))


def test_many_at_once_end_each_with_its_own() -> None:
    async def work(multi: Multi) -> tuple[list[Any], list[list[bytes]]]:
        async with served(quick) as port:
            gets = [a_get(port) for _ in range(50)]
            refused = a_get(unused_port())[0]
            ends = await asyncio.gather(
                *(multi.perform(curl) for curl, _ in gets), multi.perform(refused), return_exceptions=True
            )
            await multi.perform(gets[0][0])  # a handle can be used again once its transfer is over
            return ends, [seen for _, seen in gets]

    ends, bodies = driven(work)
    assert [end for end in ends if end is not None and end.args[0] == pycurl.E_COULDNT_CONNECT] == [ends[50]]
    assert ends[:50] == [None] * 50
    assert bodies == [[b"ok", b"ok"], *[[b"ok"]] * 49]


def test_a_transfer_ends_at_its_own_time_and_an_earlier_one_is_not_kept_waiting() -> None:
    async def work(multi: Multi) -> tuple[float, float]:
        async with served(stalls) as port:
            loop, (slow, _), (fast, _) = asyncio.get_running_loop(), a_get(port), a_get(port)
            slow.setopt(pycurl.TIMEOUT_MS, 600)
            fast.setopt(pycurl.TIMEOUT_MS, 100)
            began = loop.time()

            async def timed(curl: pycurl.Curl) -> float:
                with pytest.raises(pycurl.error, match="28"):
                    await multi.perform(curl)
                return loop.time() - began

            first, second = await asyncio.gather(timed(slow), timed(fast))
            return first, second

    late, early = driven(work)
    assert 0.1 <= early < 0.5 < 0.6 <= late < 2


def test_a_transfer_that_is_given_up_frees_its_handle() -> None:
    async def work(multi: Multi) -> list[bytes]:
        async with served(stalls) as slow_port, served(quick) as port:
            curl, seen = a_get(slow_port)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(multi.perform(curl), 0.05)
            curl.setopt(pycurl.URL, f"http://127.0.0.1:{port}/")
            await multi.perform(curl)
            return seen

    assert driven(work) == [b"ok"]


def test_what_is_under_way_when_it_closes_is_cancelled() -> None:
    async def main() -> None:
        multi = Multi()
        async with served(stalls) as port:
            task = asyncio.ensure_future(multi.perform(a_get(port)[0]))
            await asyncio.sleep(0.05)
            multi.close()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


def test_a_failure_of_the_whole_handle_is_no_news_of_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(multi: Multi) -> None:
        real = multi._multi
        broken = Mock(wraps=real, socket_action=Mock(side_effect=pycurl.error(1, "bad handle")))
        monkeypatch.setattr(multi, "_multi", broken)
        with pytest.raises(RuntimeError, match="multi handle failed"):
            await multi.perform(a_get(unused_port())[0])

    driven(work)
