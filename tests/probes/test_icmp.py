"""The kind `icmp`: echo requests over the loopback where the machine allows them; verdicts for given losses."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import uuid
from typing import Any

import pytest

from apps.net.address_policy import AddressPolicy
from apps.net.errors import NetError
from apps.net.icmp import Echoes, open_icmp_socket, token_of
from apps.net.network import Network
from apps.probes import runner
from apps.probes.contract import OptionError, Outcome
from apps.probes.kinds.icmp import Options, facts_of, judged, parse
from apps.probes.wire import Job
from tests.probes.servers import NOW_MS


def look(target: str = "127.0.0.1", *, private: bool = True, timeout_ms: int = 2_000, **options: Any) -> Any:
    async def main() -> Any:
        network = Network(AddressPolicy(private=private))
        job = Job(uuid.uuid4().hex, 1, 0, "icmp", target, {"interval_ms": 20, **options}, timeout_ms)
        try:
            return (await runner.run(job, network, NOW_MS)).outcome
        finally:
            await network.close()

    return asyncio.run(main())


def may_send() -> bool:
    for shape in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, shape, socket.IPPROTO_ICMP).close()
        except PermissionError:
            continue
        return True
    return False


def test_the_loopback_answers_or_the_worker_says_what_it_lacks() -> None:
    outcome = look(count=4)
    if not may_send():
        assert (outcome.verdict, outcome.reason) == ("unknown", "internal")
        assert "net.ipv4.ping_group_range" in outcome.message
        return
    assert (outcome.verdict, outcome.facts["sent"], outcome.facts["received"], outcome.facts["loss"]) == ("up", 4, 4, 0)
    facts = outcome.facts
    assert 0 < facts["rtt_min"] <= facts["rtt_avg"] <= facts["rtt_max"] < 2_000
    assert facts["jitter"] >= 0


@pytest.mark.parametrize(("number", "words"), [(errno.EPERM, "CAP_NET_RAW"), (errno.EMFILE, "Too many open files")])
def test_without_permission_or_sockets_it_is_internal(monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def refused(*_args: object, **_options: object) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("icmplib.sockets.socket.socket", refused)
    with pytest.raises(NetError, match=words) as caught:
        open_icmp_socket("127.0.0.1")
    assert caught.value.code == "internal"


def test_the_guard_stands_before_the_first_packet() -> None:
    assert look(private=False).reason == "blocked_address"
    assert look("::ffff:127.0.0.1", private=False).reason == "blocked_address"


@pytest.mark.parametrize(
    ("rtts", "options", "verdict", "reason"),
    [
        ([1.0, 1.2, 1.4], {}, "up", None),
        ([1.0, None, 1.4], {}, "up", None),
        ([1.0, None, None], {}, "degraded", "packet_loss"),
        ([None, None, None], {}, "down", "packet_loss"),
        ([1.0, None, 1.4], {"degraded_loss_percent": 1}, "degraded", "packet_loss"),
        ([1.0, None, 1.4], {"down_loss_percent": 20}, "down", "packet_loss"),
        ([30.0, 40.0], {"degraded_ms": 34}, "degraded", "too_slow"),
        ([30.0, 40.0], {"down_ms": 34}, "down", "too_slow"),
        ([30.0, 40.0], {"degraded_ms": 36}, "up", None),
        ([30.0, 40.0], {"assertions": ["[jitter] < 5 ms"]}, "down", "assertion_failed"),
        ([30.0, 40.0], {"assertions": ["[loss] == 0", "[jitter] <= 10 ms", "[rtt_max] < 50 ms"]}, "up", None),
        ([], {}, "down", "packet_loss"),
    ],
)  # fmt: skip
def test_losses_and_times_are_judged(rtts: list[float | None], options: dict[str, Any], verdict: str, reason: str | None) -> None:
    outcome: Outcome = judged(parse("e.test", options), facts_of(Echoes("192.0.2.1", 0.4, rtts)), NOW_MS)
    assert (outcome.verdict, outcome.reason) == (verdict, reason), outcome.message


def test_what_a_loss_says_and_what_the_figures_are() -> None:
    facts = facts_of(Echoes("192.0.2.1", 0.4, [10.0, None, 16.0, 12.0]))
    assert (facts["rtt_min"], facts["rtt_avg"], facts["rtt_max"], facts["jitter"], facts["loss"]) == (10, 12.667, 16, 5, 25)
    outcome = judged(parse("e.test", {"down_loss_percent": 20}), facts, NOW_MS)
    assert outcome.message == "25 % of the packets were lost (3 of 4 came back), the limit is 20 %"


def test_packets_are_told_apart() -> None:
    token = b"abcdefgh"
    reply = struct.pack("!BBHHH", 0, 0, 0, 7, 1) + token
    assert token_of(reply, is_raw=False) == token
    assert token_of(b"\x45" + bytes(19) + reply, is_raw=True) == token
    assert token_of(struct.pack("!BBHHH", 8, 0, 0, 7, 1) + token, is_raw=False) == b""
    assert token_of(b"\x81\x00" + bytes(6) + token, is_raw=True) == token
    assert token_of(b"", is_raw=True) == b""


def test_a_stranger_s_reply_of_the_same_number_is_not_ours() -> None:
    """icmplib knows a reply by id and sequence number alone; a raw socket also receives those to other processes."""
    from icmplib import ICMPv4Socket

    ours, strangers = b"abcdefgh", b"ABCDEFGH"
    packets = [b"\x45" + bytes(19) + struct.pack("!BBHHH", 0, 0, 0, 7, 1) + token for token in (ours, strangers)]
    parse_reply = ICMPv4Socket._parse_reply
    seen = [parse_reply(_Raw(), packet, "192.0.2.1", 0.0) for packet in packets]
    assert [(reply.id, reply.sequence) for reply in seen] == [(7, 1), (7, 1)]
    assert [token_of(packet, is_raw=True) for packet in packets] == [ours, strangers]


class _Raw:
    """The attributes of icmplib's socket that parsing a packet needs."""

    from icmplib import ICMPv4Socket as _kind

    _privileged = True
    _IP_VERSION = _kind._IP_VERSION
    _ICMP_HEADER_OFFSET = _kind._ICMP_HEADER_OFFSET
    _ICMP_HEADER_REAL_OFFSET = _kind._ICMP_HEADER_REAL_OFFSET
    _ICMP_CHECKSUM_OFFSET = _kind._ICMP_CHECKSUM_OFFSET
    _ICMP_ID_OFFSET = _kind._ICMP_ID_OFFSET
    _ICMP_PAYLOAD_OFFSET = _kind._ICMP_PAYLOAD_OFFSET
    _ICMP_ECHO_REPLY = _kind._ICMP_ECHO_REPLY


@pytest.mark.parametrize(
    ("target", "raw", "field"),
    [
        ("", {}, "target"), ("https://e.test/", {}, "target"), ("e.test", {"count": 0}, "options.count"),
        ("e.test", {"size": 4}, "options.size"), ("e.test", {"assertions": ["[status] == 200"]}, "options.assertions"),
        ("e.test", {"colour": 1}, "options.colour"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_its_name(target: str, raw: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(target, raw)
    assert caught.value.field == field


def test_options_survive_being_stored() -> None:
    options: Options = parse("e.test", {"count": 5, "assertions": ["[loss] == 0"], "ip_version": "ipv6"})
    assert parse("e.test", options.stored()) == options
