from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from apps.net.errors import NetError
from apps.net.resolv_conf import ResolvConf, ResolvConfFile, parse_resolv_conf
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
    """A name server that answers A queries with 127.0.0.7 or, where `code` is not 0, all with that response code."""

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


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("", ResolvConf()),
        (
            "# x\nsearch a.b C.D.\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver nonsense\noptions ndots:5 rotate\n",
            ResolvConf(("192.0.2.53", "fe80::1"), ("a.b", "c.d"), 5),
        ),
        ("domain lan\nsearch\noptions\nnameserver\n", ResolvConf()),
        ("search one\ndomain two\noptions ndots:x\n", ResolvConf((), ("two",), 1)),
        ("options ndots:99\n", ResolvConf((), (), 15)),
    ],
)
def test_resolv_conf_is_read_as_the_c_library_reads_it(text: str, parsed: ResolvConf) -> None:
    assert parse_resolv_conf(text) == parsed


@pytest.mark.parametrize(
    ("ndots", "name", "asked"),
    [
        (1, "nas", ["nas.lan", "nas"]),
        (1, "www.example.org", ["www.example.org", "www.example.org.lan"]),
        (5, "db.prod", ["db.prod.lan", "db.prod"]),
    ],
)
def test_short_names_are_completed_first(ndots: int, name: str, asked: list[str]) -> None:
    assert list(ResolvConf(search=("lan",), ndots=ndots).candidates(name)) == asked


def test_a_short_name_is_found_by_the_search_list_and_missing_names_are_told_as_written(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("search nowhere.test lan\n")

    class Knowing(_Answering):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self._code = 0 if b"\3nas\3lan\0" in data else 3
            super().datagram_received(data, addr)

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Knowing(3), local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        resolver = Resolver([f"127.0.0.1:{port}"], HostsFile("/nonexistent"), ResolvConfFile(str(conf)))
        try:
            with pytest.raises(NetError, match=r"the name www\.missing\.test does not exist"):
                await resolver.resolve("www.missing.test", "ipv4", 3)
            return await resolver.resolve("nas", "ipv4", 3)
        finally:
            await resolver.close()
            transport.close()

    assert asyncio.run(main()) == ["127.0.0.7"]


def test_the_next_name_server_is_asked_where_one_fails() -> None:
    async def main() -> tuple[list[str], int, int]:
        loop = asyncio.get_running_loop()
        bad_transport, bad = await loop.create_datagram_endpoint(lambda: _Answering(2), local_addr=("127.0.0.1", 0))
        good_transport, good = await loop.create_datagram_endpoint(lambda: _Answering(0), local_addr=("127.0.0.1", 0))
        servers = [f"127.0.0.1:{transport.get_extra_info('sockname')[1]}" for transport in (bad_transport, good_transport)]
        resolver = Resolver(servers, HostsFile("/nonexistent"), ResolvConfFile("/nonexistent"))
        try:
            return await resolver.resolve("www.bench.test", "ipv4", 5), bad.asked, good.asked
        finally:
            await resolver.close()
            bad_transport.close()
            good_transport.close()

    found, bad_asked, good_asked = asyncio.run(main())
    assert (found, bad_asked >= 1, good_asked >= 1) == (["127.0.0.7"], True, True)


def test_the_next_name_server_is_asked_where_one_is_silent() -> None:
    class Silent(_Answering):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.asked += 1

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        silent_transport, _ = await loop.create_datagram_endpoint(lambda: Silent(0), local_addr=("127.0.0.1", 0))
        good_transport, _ = await loop.create_datagram_endpoint(lambda: _Answering(0), local_addr=("127.0.0.1", 0))
        servers = [f"127.0.0.1:{transport.get_extra_info('sockname')[1]}" for transport in (silent_transport, good_transport)]
        resolver = Resolver(servers, HostsFile("/nonexistent"), ResolvConfFile("/nonexistent"))
        try:
            return await resolver.resolve("www.bench.test", "ipv4", 8)
        finally:
            await resolver.close()
            silent_transport.close()
            good_transport.close()

    assert asyncio.run(main()) == ["127.0.0.7"]
