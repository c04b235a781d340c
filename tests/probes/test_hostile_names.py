"""Hostile name servers: dropped queries, chains and loops of aliases, very many answers."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.message
import dns.rrset

from tests.probes.http_looks import LOCAL, probe
from tests.probes.servers import http, says, served
from tests.probes.test_hostile import HOST, run


class Names(asyncio.DatagramProtocol):
    """A name server that answers from `rows` by name and type, and drops queries for anything else."""

    def __init__(self, rows: dict[tuple[str, str], list[str]]) -> None:
        self._rows = rows

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, peer: Any) -> None:
        query = dns.message.from_wire(data)
        asked = query.question[0]
        name = asked.name.to_text(omit_final_dot=True)
        for kind in (dns.rdatatype.to_text(asked.rdtype), "CNAME"):
            if (name, kind) in self._rows:
                answer = dns.message.make_response(query)
                answer.answer = [dns.rrset.from_text(asked.name, 60, "IN", kind, *self._rows[name, kind])]
                self._transport.sendto(answer.to_wire(max_size=65_535), peer)
                return


def named(rows: dict[tuple[str, str], list[str]], host: str = "e.test") -> Any:
    async def main() -> Any:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Names(rows), local_addr=(HOST, 0))
        server = f"{HOST}:{transport.get_extra_info('sockname')[1]}"
        async with served(says(http())) as port:
            outcome = (await probe(f"http://{host}:{port}/", LOCAL, 1_500, nameserver=server)).outcome
        transport.close()
        return outcome

    return asyncio.run(main())


def test_a_name_server_that_drops_one_family_costs_nothing() -> None:
    outcome = named({("e.test", "A"): [HOST]})
    assert outcome.verdict == "up", outcome.message
    assert outcome.facts["phases_ms"]["dns"] < 500


def test_aliases_link_by_link() -> None:
    rows = {("e.test", "CNAME"): ["b.test."], ("b.test", "A"): [HOST]}
    assert named(rows).verdict == "up"
    loop = {("e.test", "CNAME"): ["b.test."], ("b.test", "CNAME"): ["e.test."]}
    assert named(loop).reason == "dns_loop"
    assert named({}).reason == "dns_timeout"


def test_many_answers_are_judged_in_full_and_kept_in_part() -> None:
    addresses = [f"192.0.2.{number}" for number in range(1, 61)]

    async def main() -> Any:
        rows = {("e.test", "A"): addresses}
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Names(rows), local_addr=(HOST, 0))
        server = f"{HOST}:{transport.get_extra_info('sockname')[1]}"
        outcome = await run("dns", "e.test", nameserver=server, expected=["192.0.2.9"], match="all")
        transport.close()
        return outcome

    outcome = asyncio.run(main())
    assert (outcome.verdict, len(outcome.facts["answers"])) == ("up", 50), outcome.message
