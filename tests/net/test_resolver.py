from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from apps.net.errors import NetError
from apps.net.resolver import HostsFile, Resolver


def test_the_hosts_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost Alias # a comment\n::1 localhost\nnonsense\n")
    hosts = HostsFile(str(path))
    assert hosts.lookup("localhost") == ["127.0.0.1", "::1"]
    assert hosts.lookup("alias") == ["127.0.0.1"]
    path.write_text("127.0.0.2 localhost\n# longer than before, and newer\n")
    import os

    os.utime(path, ns=(1, 10**18))
    assert hosts.lookup("localhost") == ["127.0.0.2"]


class _Answering(asyncio.DatagramProtocol):
    """A name server that knows one name, and answers others with a code."""

    def __init__(self, code: int) -> None:
        self._code = code
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        question_end = data.index(b"\0", 12) + 5
        is_a = data[question_end - 4 : question_end - 2] == b"\0\1"
        found = self._code == 0 and is_a
        header = data[:2] + bytes([0x81, 0x80 | self._code]) + b"\0\1" + (b"\0\1" if found else b"\0\0") + b"\0\0\0\0"
        answer = b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\x7f\0\0\7" if found else b""
        self._transport.sendto(header + data[12:question_end] + answer, addr)


def resolve_with(code: int, look_ups: int = 1) -> tuple[list[str], int]:
    async def main() -> tuple[list[str], int]:
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(lambda: _Answering(code), local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        resolver = Resolver(nameservers=[f"127.0.0.1:{port}"], hosts=HostsFile("/nonexistent"))
        try:
            for index in range(look_ups):
                found = await resolver.resolve("www.bench.test", "ipv4", 3)
                if index + 1 < look_ups:
                    await asyncio.sleep(1.05)
            return found, server.asked
        finally:
            await resolver.close()
            transport.close()

    return asyncio.run(main())


def test_a_name_is_asked_for_anew_however_long_its_answer_may_be_kept() -> None:
    assert resolve_with(0, look_ups=2) == (["127.0.0.7"], 2)


@pytest.mark.parametrize(("code", "reason"), [(2, "dns_servfail"), (3, "dns_nxdomain"), (5, "dns_refused")])
def test_a_refusal_is_called_by_its_name(code: int, reason: str) -> None:
    with pytest.raises(NetError) as caught:
        resolve_with(code)
    assert caught.value.code == reason


def test_a_literal_is_its_own_answer() -> None:
    async def main() -> list[str]:
        resolver = Resolver()
        try:
            return await resolver.resolve("::1", "auto", 1)
        finally:
            await resolver.close()

    assert asyncio.run(main()) == ["::1"]
