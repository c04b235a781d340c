from __future__ import annotations

import asyncio
import errno
import uuid
from typing import Any

import pytest

from apps.net.address_policy import AddressPolicy
from apps.net.failures import connect_failure
from apps.net.hosts import host_port
from apps.net.network import Network
from apps.probes import runner
from apps.probes.contract import OptionError
from apps.probes.kinds.tcp import parse
from apps.probes.wire import Job
from tests.probes.authority import MIDDLE, ROOT, STRANGER, issued
from tests.probes.servers import NOW_MS, Reader, Writer, says, served, talked, unused_port

GOOD = issued("127.0.0.1", by=MIDDLE, chain=(MIDDLE.certificate,))


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


@pytest.mark.parametrize(("address", "code"), [("2001:db8::1", "internal"), ("192.0.2.1", "network_unreachable")])
def test_a_worker_without_ipv6_says_nothing_of_the_target(address: str, code: str) -> None:
    where = host_port(address, 80)
    assert connect_failure(errno.ENETUNREACH, where, is_ipv6=":" in address).code == code


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert (parse("[::1]:80", {}).host, parse("[::1]:80", {}).port) == ("::1", 80)


# --- dialogues


async def speak(talk: Any, *dialogue: str, context: Any = None, **options: Any) -> Any:
    async with talked(talk, context) as port:
        given = {"dialogue": list(dialogue), "ca": ROOT.pem, **options}
        network = Network(AddressPolicy(private=True))
        try:
            job = Job(uuid.uuid4().hex, 1, 0, "tcp", f"127.0.0.1:{port}", given, 500)
            return (await runner.run(job, network, NOW_MS)).outcome
        finally:
            await network.close()


async def ftp(reader: Reader, writer: Writer) -> None:
    writer.write(b"220 welcome\r\n")
    said = await reader.readline()
    writer.write(b"331 name is fine\r\n" if said == b"USER\tprobe\r\n" else b"500 what?\r\n")
    await reader.read()


async def closes(_reader: Reader, _writer: Writer) -> None:
    return None


async def waits(reader: Reader, _writer: Writer) -> None:
    await reader.read()


async def babbles(_reader: Reader, writer: Writer) -> None:
    while True:
        writer.write(b"bla " * 4_000)
        await writer.drain()


async def speaks_bytes(_reader: Reader, writer: Writer) -> None:
    writer.write(b"\x00\x80\xffv\xc3\xa9")
    await writer.drain()
    await asyncio.sleep(1)


async def upgrades(reader: Reader, writer: Writer) -> None:
    writer.write(b"hello\r\n")
    await reader.readline()
    writer.write(b"go\r\n")
    await writer.start_tls(GOOD.server())
    writer.write(b"in secret\r\n")
    await reader.read()


@pytest.mark.parametrize(
    ("talk", "dialogue", "reason"),
    [
        (ftp, ["expect ^220 ", r"send USER\x09probe\r\n", r"expect (?m)^331 "], None),
        (ftp, [r"expect 220 wel", r"expect come\r"], None),
        (ftp, ["expect ^SSH-2"], "banner_mismatch"),
        (ftp, ["expect 220", r"send HELP\r\n", "expect 331"], "banner_mismatch"),
        (closes, ["expect ."], "connection_closed"),
        (waits, ["expect ."], "read_timeout"),
        (babbles, ["expect never"], "banner_mismatch"),
        (speaks_bytes, [r"expect ^\x00\x80\xffv"], None),
        (speaks_bytes, [r"expect ^\x00..v\xc3", r"expect ^\xa9$"], None),
        (speaks_bytes, ["expect é"], None),
        (upgrades, ["expect hello", r"send STARTTLS\r\n", "expect go", "starttls", "expect secret"], None),
        (ftp, ["starttls"], "tls_handshake"),
    ],
)
def test_a_dialogue_is_held_step_by_step(talk: Any, dialogue: list[str], reason: str | None) -> None:
    outcome = asyncio.run(speak(talk, *dialogue))
    assert outcome.reason == reason, outcome.message
    assert outcome.verdict == ("up" if reason is None else "down")


def test_a_dialogue_over_tls_judges_the_certificate() -> None:
    assert asyncio.run(speak(ftp, "expect 220", context=GOOD.server(), use_tls=True)).verdict == "up"
    strange = issued("127.0.0.1", by=STRANGER).server()
    assert asyncio.run(speak(ftp, "expect 220", context=strange, use_tls=True)).reason == "tls_unknown_ca"
    assert asyncio.run(speak(ftp, "expect 220", context=strange, use_tls=True, verify_tls=False)).verdict == "up"


@pytest.mark.parametrize("step", ["say x", "expect", "expect (", "starttls now", "send", ""])
def test_a_step_that_cannot_be_taken_is_refused(step: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse("127.0.0.1:80", {"dialogue": [step]})
    assert caught.value.field == "options.dialogue"


def test_a_pattern_cannot_blow_up() -> None:
    async def main() -> Any:
        async def talk(reader: Reader, writer: Writer) -> None:
            writer.write(b"a" * 5_000)
            await reader.read()

        return await speak(talk, r"expect (a+)+$b")

    outcome = asyncio.run(main())
    assert outcome.reason == "banner_mismatch"
