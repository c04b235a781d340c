from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from apps.net import dns as net_dns
from apps.net.address_policy import AddressPolicy
from apps.net.errors import NetError
from apps.net.network import Network
from apps.net.resolv_conf import ResolvConfFile
from apps.net.resolver import Resolver
from apps.probes import runner
from apps.probes.contract import OptionError
from apps.probes.kinds.dns import parse
from apps.probes.wire import Job
from tests.probes.authority import ROOT, issued
from tests.probes.servers import NOW_MS, Reader, Writer, talked, unused_port

Answer = Callable[[dns.message.Message, str], "bytes | None"]
ZONE = """
e.test. 300 IN A 192.0.2.1
e.test. 300 IN A 192.0.2.2
e.test. 60 IN AAAA 2001:db8::1
e.test. 300 IN MX 10 Mail.e.test.
e.test. 300 IN TXT "v=spf1 " "-all"
e.test. 300 IN NS ns1.e.test.
e.test. 300 IN SOA ns1.e.test. admin.e.test. 1 2 3 4 5
_sip._tcp.e.test. 300 IN SRV 0 5 5060 sip.e.test.
e.test. 300 IN CAA 0 issue "ca.test"
www.e.test. 30 IN CNAME e.test.
far.e.test. 300 IN CNAME away.other.test.
1.2.0.192.in-addr.arpa. 300 IN PTR e.test.
"""


def rows(query: dns.message.Message) -> list[dns.rrset.RRset]:
    wanted = query.question[0]
    found: dict[tuple[str, str], list[str]] = {}
    for line in filter(None, ZONE.splitlines()):
        name, ttl, _, kind, value = line.split(" ", 4)
        found.setdefault((name, kind), []).append(f"{ttl} {value}")
    name, kind = wanted.name.to_text().lower(), dns.rdatatype.to_text(wanted.rdtype)
    sets = []
    for key in ((name, kind), (name, "CNAME")):
        if key in found:
            seconds = int(found[key][0].split()[0])
            sets.append(dns.rrset.from_text(key[0], seconds, "IN", key[1], *(text.split(" ", 1)[1] for text in found[key])))
            break
    return sets


def told(query: dns.message.Message, _transport: str) -> bytes:
    answer = dns.message.make_response(query, recursion_available=True)
    answer.answer = rows(query)
    if not answer.answer:
        known = any(line.startswith(query.question[0].name.to_text()) for line in ZONE.splitlines())
        answer.set_rcode(dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)
    for rrset in list(answer.answer):
        if rrset.rdtype == dns.rdatatype.CNAME and rrset[0].target.to_text() == "e.test.":
            answer.answer.append(dns.rrset.from_text("e.test.", 300, "IN", "A", "192.0.2.1", "192.0.2.2"))
    return answer.to_wire()


def with_code(code: dns.rcode.Rcode) -> Answer:
    def answer(query: dns.message.Message, _transport: str) -> bytes:
        made = dns.message.make_response(query)
        made.set_rcode(code)
        return made.to_wire()

    return answer


def cut(query: dns.message.Message, transport: str) -> bytes | None:
    if transport == "tcp":
        return told(query, transport)
    made = dns.message.make_response(query)
    made.flags |= dns.flags.TC
    return made.to_wire()


def cut_for_good(query: dns.message.Message, transport: str) -> bytes | None:
    return cut(query, transport) if transport == "udp" else b""


def looped(query: dns.message.Message, _transport: str) -> bytes:
    made = dns.message.make_response(query)
    made.answer = [
        dns.rrset.from_text("e.test.", 60, "IN", "CNAME", "f.test."),
        dns.rrset.from_text("f.test.", 60, "IN", "CNAME", "e.test."),
    ]
    return made.to_wire()


def looped_link_by_link(query: dns.message.Message, _transport: str) -> bytes:
    made = dns.message.make_response(query)
    name = query.question[0].name
    other = "f.test." if name.to_text() == "e.test." else "e.test."
    made.answer = [dns.rrset.from_text(name, 60, "IN", "CNAME", other)]
    return made.to_wire()


def another_question(query: dns.message.Message, _transport: str) -> bytes:
    other = dns.message.make_query("other.test", "A")
    other.id = query.id
    return dns.message.make_response(other).to_wire()


def another_id(query: dns.message.Message, transport: str) -> bytes:
    wire = told(query, transport)
    return bytes([wire[0] ^ 0xFF]) + wire[1:]


@contextlib.asynccontextmanager
async def name_server(answer: Answer, context: Any = None) -> AsyncIterator[int]:
    """UDP and TCP on one port; over TLS, TCP alone."""

    async def talk(reader: Reader, writer: Writer) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        wire = answer(dns.message.from_wire(await reader.readexactly(size)), "tcp")
        if wire:
            writer.write(len(wire).to_bytes(2, "big") + wire)
            await writer.drain()

    async with talked(talk, context) as port, udp_server(answer, "127.0.0.1", port):
        yield port


@contextlib.asynccontextmanager
async def udp_server(answer: Answer, host: str, port: int) -> AsyncIterator[None]:
    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self._transport = transport

        def datagram_received(self, data: bytes, sender: Any) -> None:
            wire = answer(dns.message.from_wire(data), "udp")
            if wire is not None:
                self._transport.sendto(wire, sender)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, (host, port))
    try:
        yield
    finally:
        transport.close()


def look(
    answer: Answer = told, name: str = "e.test", context: Any = None, baseline: dict[str, Any] | None = None, **options: Any
) -> Any:
    async def main() -> Any:
        network = Network(AddressPolicy(private=True))
        async with name_server(answer, context) as port:
            given = {"nameserver": f"127.0.0.1:{port}", **options}
            try:
                job = Job(uuid.uuid4().hex, 1, 0, "dns", name, given, 600, baseline)
                return (await runner.run(job, network, NOW_MS)).outcome
            finally:
                await network.close()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "record", "answers"),
    [
        ("e.test", "A", ["192.0.2.1", "192.0.2.2"]),
        ("e.test", "AAAA", ["2001:db8::1"]),
        ("e.test", "MX", ["10 mail.e.test"]),
        ("e.test", "TXT", ["v=spf1 -all"]),
        ("e.test", "NS", ["ns1.e.test"]),
        ("e.test", "SOA", ["ns1.e.test admin.e.test 1 2 3 4 5"]),
        ("_sip._tcp.e.test", "SRV", ["0 5 5060 sip.e.test"]),
        ("e.test", "CAA", ['0 issue "ca.test"']),
        ("www.e.test", "CNAME", ["e.test"]),
        ("www.e.test", "A", ["192.0.2.1", "192.0.2.2"]),
        ("192.0.2.1", "PTR", ["e.test"]),
    ],
)
def test_every_record_is_read_as_people_write_it(name: str, record: str, answers: list[str]) -> None:
    outcome = look(name=name, record_type=record)
    assert (outcome.verdict, outcome.facts["answers"]) == ("up", answers), outcome.message
    assert look(name=name, record_type=record, expected=answers, match="exact").verdict == "up"
    assert outcome.facts["rcode"] == "NOERROR"


def test_the_ttl_is_the_shortest_of_the_chain() -> None:
    assert look(name="www.e.test").facts["ttl"] == 30
    assert look(name="www.e.test", min_ttl=60).reason == "assertion_failed"
    assert look(min_ttl=60).verdict == "up"


@pytest.mark.parametrize(
    ("answer", "options", "reason"),
    [
        (told, {"record_type": "SRV"}, "dns_empty"),
        (with_code(dns.rcode.NXDOMAIN), {}, "dns_nxdomain"),
        (with_code(dns.rcode.SERVFAIL), {}, "dns_servfail"),
        (with_code(dns.rcode.REFUSED), {}, "dns_refused"),
        (with_code(dns.rcode.NOTIMP), {}, "dns_wrong_answer"),
        (with_code(dns.rcode.NXDOMAIN), {"rcode": "NXDOMAIN"}, None),
        (told, {"rcode": "NXDOMAIN"}, "dns_wrong_answer"),
        (lambda _q, _t: None, {}, "dns_timeout"),
        (lambda q, _t: q.to_wire()[:2] + b"junk", {}, "dns_malformed"),
        (lambda q, _t: told(q, "udp")[:-5], {}, "dns_malformed"),
        (another_question, {}, "dns_malformed"),
        (another_id, {}, "dns_malformed"),
        (cut, {}, None),
        (cut_for_good, {}, "dns_truncated"),
        (looped, {}, "dns_loop"),
        (looped_link_by_link, {}, "dns_loop"),
        (told, {"transport": "tcp"}, None),
        (lambda _q, _t: b"", {"transport": "tcp"}, "connection_closed"),
        (told, {"expected": ["192.0.2.1"]}, None),
        (told, {"expected": ["192.0.2.1", "192.0.2.9"]}, "dns_wrong_answer"),
        (told, {"expected": ["192.0.2.1", "192.0.2.9"], "match": "any"}, None),
        (told, {"expected": ["192.0.2.9"], "match": "any"}, "dns_wrong_answer"),
        (told, {"expected": ["192.0.2.1"], "match": "exact"}, "dns_wrong_answer"),
        (told, {"expected": [r"^192\.0\.2\."], "match": "regex"}, None),
        (told, {"expected": [r"^10\."], "match": "regex"}, "dns_wrong_answer"),
        (told, {"dnssec": True}, "dns_wrong_answer"),
    ],
)  # fmt: skip
def test_every_answer_has_its_verdict(answer: Answer, options: dict[str, Any], reason: str | None) -> None:
    outcome = look(answer, **options)
    assert outcome.reason == reason, outcome.message
    assert outcome.verdict == ("up" if reason is None else "down")


def test_a_validated_answer_is_up() -> None:
    def vouched(query: dns.message.Message, transport: str) -> bytes:
        answer = dns.message.from_wire(told(query, transport))
        answer.flags |= dns.flags.AD
        return answer.to_wire()

    assert look(vouched, dnssec=True).verdict == "up"


def test_answers_that_changed_are_told_when_asked() -> None:
    first = look(notice_change=True)
    assert (first.verdict, first.facts["baseline"]) == ("up", {"answers": ["192.0.2.1", "192.0.2.2"]})
    assert look(notice_change=True, baseline=first.facts["baseline"]).verdict == "up"
    other = look(notice_change=True, baseline={"answers": ["192.0.2.9"]})
    assert (other.verdict, other.reason) == ("degraded", "dns_changed")
    assert other.message == "[answers] (192.0.2.1, 192.0.2.2) == 192.0.2.9"
    assert other.facts["baseline"] == first.facts["baseline"]


def test_over_tls() -> None:
    context = issued("127.0.0.1", by=ROOT).server()
    assert look(context=context, transport="tls").verdict == "up"


def test_a_closed_port_and_a_refused_address_are_named() -> None:
    async def main(nameserver: str, policy: AddressPolicy) -> Any:
        network = Network(policy)
        try:
            job = Job(uuid.uuid4().hex, 1, 0, "dns", "e.test", {"nameserver": nameserver}, 500)
            return (await runner.run(job, network, NOW_MS)).outcome
        finally:
            await network.close()

    assert asyncio.run(main(f"127.0.0.1:{unused_port()}", AddressPolicy(private=True))).reason == "connect_refused"
    assert asyncio.run(main("127.0.0.1", AddressPolicy())).reason == "blocked_address"


async def ask_own_servers(conf: Path, port: int) -> net_dns.Reply:
    network = Network(AddressPolicy(), resolver=Resolver(resolv_conf=ResolvConfFile(str(conf))))  # nobody else's business
    try:
        wire = dns.message.make_query("e.test", "A").to_wire()
        return await network.dns.ask(wire, net_dns.Server("", port, "udp"), asyncio.get_running_loop().time() + 1)
    finally:
        await network.close()


def test_the_machines_own_name_servers_are_asked_and_not_told(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\n")

    async def main() -> net_dns.Reply:
        async with name_server(told) as port:
            return await ask_own_servers(conf, port)

    assert "127.0.0.1" not in asyncio.run(main()).server
    with pytest.raises(NetError) as caught:
        asyncio.run(ask_own_servers(conf, unused_port()))
    assert caught.value.code == "internal"
    assert "127.0.0.1" not in caught.value.message


def test_the_next_of_the_machines_own_name_servers_is_asked_where_one_fails(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver ::1\nnameserver 127.0.0.1\n")

    def fails(query: dns.message.Message, _transport: str) -> bytes:
        answer = dns.message.make_response(query)
        answer.set_rcode(dns.rcode.SERVFAIL)
        return answer.to_wire()

    async def main() -> int:
        async with name_server(told) as port, udp_server(fails, "::1", port):
            reply = await ask_own_servers(conf, port)
        return int(dns.message.from_wire(reply.wire).rcode())

    assert asyncio.run(main()) == dns.rcode.NOERROR


def test_a_chain_of_aliases_told_one_by_one_is_followed() -> None:
    def link(query: dns.message.Message, _transport: str) -> bytes:
        answer = dns.message.make_response(query)
        name = query.question[0].name
        number = int(name.labels[0][1:]) if name.labels[0][:1] == b"a" else 0
        follow = f"a{number + 1}.test." if number < 12 else None
        if follow:
            answer.answer = [dns.rrset.from_text(name, 30, "IN", "CNAME", follow)]
        else:
            answer.answer = [dns.rrset.from_text(name, 30, "IN", "A", "192.0.2.1")]
        return answer.to_wire()

    outcome = look(link)
    assert (outcome.verdict, outcome.facts.get("answers")) == ("up", ["192.0.2.1"]), outcome.message


def test_large_answers_need_no_second_question() -> None:
    def large(query: dns.message.Message, transport: str) -> bytes:
        answer = dns.message.make_response(query)
        answer.answer = [dns.rrset.from_text("e.test.", 30, "IN", "TXT", *[f'"{number:0>100}"' for number in range(9)])]
        wire = answer.to_wire()
        assert transport == "udp"
        assert 512 < len(wire) <= query.payload
        return wire

    assert look(large, record_type="TXT").verdict == "up"


def test_a_server_that_knows_no_edns_is_asked_without() -> None:
    def old(query: dns.message.Message, transport: str) -> bytes:
        if query.edns < 0:
            return told(query, transport)
        answer = dns.message.make_response(query)
        answer.use_edns(False)
        answer.set_rcode(dns.rcode.FORMERR)
        return answer.to_wire()

    assert look(old).verdict == "up"


@pytest.mark.parametrize(
    ("record_type", "expected"),
    [
        ("MX", "10\tmail.e.test."),
        ("MX", "10 MAIL.e.test"),
        ("CAA", '0 issue "ca.test"'),
        ("CAA", "0 issue ca.test"),
        ("TXT", '"v=spf1 " "-all"'),
        ("TXT", "v=spf1 -all"),
        ("AAAA", "2001:0db8:0::1"),
        ("SOA", "ns1.e.test. admin.e.test. 1 2 3 4 5"),
    ],
)
def test_records_are_compared_as_records(record_type: str, expected: str) -> None:
    outcome = look(record_type=record_type, expected=[expected], match="exact")
    assert outcome.verdict == "up", outcome.message


def test_a_name_beyond_ascii_is_compared_as_zones_hold_it() -> None:
    def alias(query: dns.message.Message, _transport: str) -> bytes:
        answer = dns.message.make_response(query)
        answer.answer = [dns.rrset.from_text("e.test.", 30, "IN", "NS", "xn--bcher-kva.test.")]
        return answer.to_wire()

    assert look(alias, record_type="NS", expected=["bücher.test"], match="exact").verdict == "up"


@pytest.mark.parametrize("target", [".", "1.0/25.2.0.192.in-addr.arpa", "*.e.test", "_dmarc.e.test", "a=b.e.test"])
def test_any_name_of_the_dns_may_be_asked_for(target: str) -> None:
    assert parse(target, {"record_type": "NS"}).name == target


@pytest.mark.parametrize(
    ("target", "raw", "field"),
    [
        ("192.0.2.1", {}, "target"),
        ("a b", {}, "target"),
        ("127.1", {}, "target"),
        ("a..b/c", {}, "target"),
        ("e.test", {"record_type": "ANY"}, "options.record_type"),
        ("e.test", {"nameserver": "a b"}, "options.nameserver"),
        ("e.test", {"expected": "192.0.2.1"}, "options.expected"),
        ("e.test", {"expected": ["("], "match": "regex"}, "options.expected"),
        ("e.test", {"expected": ["x"], "rcode": "NXDOMAIN"}, "options.expected"),
        ("e.test", {"min_ttl": 0}, "options.min_ttl"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name(target: str, raw: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(target, raw)
    assert caught.value.field == field


def test_options_survive_being_stored() -> None:
    options = parse("e.test", {"record_type": "MX", "nameserver": "[::1]:5353", "expected": ["10 mail.e.test"]})
    assert (options.host, options.server.port) == ("::1", 5353)
    assert parse("e.test", options.stored()) == options
