"""Send one DNS query to one name server over UDP, TCP or TLS, subject to the address policy.

Encoding and decoding is done by dnspython; this module does the transport.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode

from apps.net.address_policy import AddressPolicy
from apps.net.errors import NetError
from apps.net.hosts import host_port
from apps.net.resolver import Family, Resolver
from apps.net.stream import Stream, Trust
from apps.net.tcp import TcpDialer

Transport = Literal["udp", "tcp", "tls"]
EDNS_PAYLOAD = 1_232
"""Largest UDP answer in bytes that we accept by EDNS; avoids IP fragmentation (https://dnsflagday.net/2020/)."""
_RESEND_S = 1.0
_BIGGEST = 65_535
_HEADER_BYTES = 12
_GRACE_S = 0.05
MAX_CNAMES = 16
"""The longest chain of aliases that is followed; resolvers follow about as many."""
_NO_EDNS = frozenset({dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS})
"""What servers answer that do not support EDNS (RFC 6891)."""
_AS_DNS = {
    "connect_refused": "dns_refused", "connect_timeout": "dns_timeout", "read_timeout": "dns_timeout",
    "network_unreachable": "dns_timeout", "connection_reset": "dns_malformed", "connection_closed": "dns_malformed",
}  # fmt: skip
_OWN_SERVER = "the worker's own name server"
_NEXT_SERVER = frozenset({dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED})
_CODES = {"NXDOMAIN": "dns_nxdomain", "SERVFAIL": "dns_servfail", "REFUSED": "dns_refused"}


@dataclass(frozen=True)
class Server:
    """A name server to query.

    An empty `host` stands for the name servers of this machine (resolv.conf). Its operator chose them, so the address
    policy does not apply to them.
    """

    host: str
    port: int
    transport: Transport


@dataclass(frozen=True)
class Reply:
    """The answer to one query, still encoded."""

    wire: bytes
    server: str
    """The address that answered; for this machine's own name servers, whose addresses are kept private, a fixed text.
    """
    took_ms: float
    """Duration of the exchange with the server that answered, including the connection."""


@dataclass(frozen=True)
class Answer:
    """A decoded answer to our query."""

    message: dns.message.QueryMessage
    took_ms: float

    def chain(self) -> dns.message.ChainingResult:
        """Return the aliases in the answer and the records at their end. Raises NetError if they cannot be followed."""
        try:
            return self.message.resolve_chaining()
        except dns.exception.DNSException as error:
            code = "dns_loop" if isinstance(error, dns.message.ChainTooLong) else "dns_malformed"
            name = self.message.question[0].name
            raise NetError(code, f"the answer for {name} cannot be followed: {error}") from error


class DnsClient:
    """Sends queries to name servers, for one event loop."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver, dialer: TcpDialer, roots: str) -> None:
        self._policy = policy
        self._resolver = resolver
        self._dialer = dialer
        self._roots = roots

    async def ask(self, wire: bytes, server: Server, until: float) -> Reply:
        """Send a query and return the reply; nothing in it is validated (see `read_answer`). Raises NetError.

        `until` is on the loop's clock. This machine's name servers are tried in turn: the next one is queried if one
        does not answer or returns SERVFAIL, NOTIMP or REFUSED.
        """
        addresses = await self._addresses(server, until)
        failure: NetError | None = None
        failed_reply: Reply | None = None
        loop = asyncio.get_running_loop()
        for tried, address in enumerate(addresses):
            began = loop.time()
            share = began + (until - began) / (len(addresses) - tried)
            shown = address if server.host else _OWN_SERVER
            try:
                if server.transport == "udp":
                    answer = await _by_udp(wire, address, server.port, share, shown)
                else:
                    answer = await self._by_stream(wire, address, server, share, shown)
            except NetError as error:
                failure = failure or error
                continue
            reply = Reply(answer, shown, (loop.time() - began) * 1000)
            if server.host or _rcode_of(answer) not in _NEXT_SERVER:
                return reply
            failed_reply = failed_reply or reply
        if failed_reply is not None:
            return failed_reply
        if failure is not None and not server.host and failure.code in ("connect_refused", "network_unreachable"):
            raise NetError("internal", "the probe worker reaches no name server")
        raise failure or NetError("internal", "the probe worker knows no name server")

    async def addresses(self, host: str, family: Family, server: Server, until: float) -> list[str]:
        """Return the addresses of `host` according to this server, IPv4 first. Raises NetError with a `dns_*` code."""
        wanted = {"auto": ("A", "AAAA"), "ipv4": ("A",), "ipv6": ("AAAA",)}[family]
        asking = [asyncio.ensure_future(self._records(host, kind, server, until)) for kind in wanted]
        try:
            done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            found = any(task.exception() is None and task.result() for task in done)
            if waiting:  # a query that is never answered for one family must not delay the other family's addresses
                done |= (await asyncio.wait(waiting, timeout=_GRACE_S if found else None))[0]
        finally:
            for task in asking:
                task.cancel()
        answers = [task.exception() or task.result() for task in asking if task in done]
        addresses = [address for answer in answers if not isinstance(answer, BaseException) for address in answer]
        if addresses:
            return addresses
        failure = next((answer for answer in answers if isinstance(answer, BaseException)), None)
        raise failure or NetError("dns_empty", f"the name {host} has no address at {server.host}")

    async def _records(self, host: str, kind: str, server: Server, until: float) -> list[str]:
        """Return the records of a name. Errors of connections become `dns_*`: they concern the name server, not the target."""
        rows: list[str] = []
        try:
            async with aclosing(self.follow_cnames(dns.name.from_text(host), kind, server, until)) as answers:
                async for answer in answers:
                    code = dns.rcode.to_text(answer.message.rcode())
                    if code != "NOERROR":
                        raise NetError(_CODES.get(code, "dns_wrong_answer"), f"{server.host} answers {code} for {host}")
                    rows = [row.to_text() for row in answer.chain().answer or ()]
        except NetError as error:
            if error.code in _AS_DNS:
                raise NetError(_AS_DNS[error.code], f"the name server: {error.message}") from error
            raise
        return rows

    async def follow_cnames(
        self, name: dns.name.Name, kind: str, server: Server, until: float, *, want_dnssec: bool = False
    ) -> AsyncGenerator[Answer, None]:
        """Yield the answer for a name, and while it holds only aliases, the answer for the last of them.

        Ends after an answer with records, without aliases or with an error code. Raises NetError, `dns_loop` if the
        aliases lead back.
        """
        question, seen = name, {name}
        while True:
            answer = await self.query(question, kind, server, until, want_dnssec=want_dnssec)
            yield answer
            if answer.message.rcode() != dns.rcode.NOERROR:
                return
            chain = answer.chain()
            if chain.answer is not None or not chain.cnames:
                return
            question = chain.canonical_name
            if question in seen or len(seen) > MAX_CNAMES:
                raise NetError("dns_loop", f"the aliases of {name} lead back to {question}")
            seen.add(question)

    async def query(
        self, question: dns.name.Name, kind: str, server: Server, until: float, *, want_dnssec: bool = False
    ) -> Answer:
        """Query one record type; repeat over TCP if the answer was truncated, and without EDNS if that is refused.

        Raises NetError.
        """
        query = dns.message.make_query(question, kind, use_edns=0, payload=EDNS_PAYLOAD, want_dnssec=want_dnssec)
        reply = await self.ask(query.to_wire(), server, until)
        message = read_answer(query, reply)
        if message.rcode() in _NO_EDNS and not want_dnssec:
            query.use_edns(False)
            reply = await self.ask(query.to_wire(), server, until)
            message = read_answer(query, reply)
        if message.flags & dns.flags.TC and server.transport == "udp":
            try:
                reply = await self.ask(query.to_wire(), replace(server, transport="tcp"), until)
                message = read_answer(query, reply)
            except NetError as error:
                raise NetError("dns_truncated", f"the answer was cut short, and over TCP: {error.message}") from error
        return Answer(message, reply.took_ms)

    async def _addresses(self, server: Server, until: float) -> Sequence[str]:
        """Return the server's addresses to try, in order. Raises NetError `blocked_address`."""
        if not server.host:
            return self._resolver.resolv_conf.current().nameservers
        addresses = await self._resolver.resolve(server.host, "auto", until - asyncio.get_running_loop().time())
        self._policy.ensure_permits(server.host, addresses)
        return addresses[:1]

    async def _by_stream(self, wire: bytes, address: str, server: Server, until: float, shown: str) -> bytes:
        connection = await self._dialer.dial(address, server.port, "auto", until, is_judged=not server.host)
        stream = Stream(connection.sock, shown if shown == _OWN_SERVER else host_port(shown, server.port))
        try:
            if server.transport == "tls":
                await stream.secure(server.host or address, Trust(self._roots), until)  # unverified: RFC 7858, 4.1
            await stream.send(len(wire).to_bytes(2, "big") + wire, until)
            heard = b""
            while len(heard) < 2 or len(heard) < 2 + int.from_bytes(heard[:2], "big"):
                data = await stream.receive(until)
                if not data:
                    code = "dns_truncated" if heard else "connection_closed"
                    raise NetError(code, f"{shown} closed the connection before its answer was whole")
                heard += data
        except NetError as error:
            if error.code == "read_timeout":
                raise NetError("dns_timeout", f"{shown} did not answer in time") from error
            raise
        finally:
            stream.close()
        return heard[2 : 2 + int.from_bytes(heard[:2], "big")]


def read_answer(query: dns.message.Message, reply: Reply) -> dns.message.QueryMessage:
    """Decode a reply. Raises NetError `dns_malformed` unless it is a valid answer to this query."""
    try:
        answer = dns.message.from_wire(reply.wire)
    except (dns.exception.DNSException, ValueError) as error:
        said = str(error) or type(error).__name__
        raise NetError("dns_malformed", f"the answer of {reply.server} cannot be read: {said}") from error
    if not isinstance(answer, dns.message.QueryMessage) or not query.is_response(answer):
        raise NetError("dns_malformed", f"{reply.server} answers another question")
    return answer


def _rcode_of(wire: bytes) -> int:
    """Return the response code from an encoded message without decoding the rest; 0 if it is too short."""
    return wire[3] & 0xF if len(wire) >= _HEADER_BYTES else 0


async def _by_udp(wire: bytes, address: str, port: int, until: float, shown: str) -> bytes:
    """Exchange one query over UDP. The query is resent every second; answers with another message id are ignored."""
    loop = asyncio.get_running_loop()
    where = shown if shown == _OWN_SERVER else host_port(shown, port)
    strangers = 0
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect((address, port))
            while loop.time() < until:
                await loop.sock_sendall(sock, wire)
                again = min(until, loop.time() + _RESEND_S)
                try:
                    async with asyncio.timeout_at(again):
                        while True:
                            answer = await loop.sock_recv(sock, _BIGGEST)
                            if len(answer) < _HEADER_BYTES or answer[:2] == wire[:2]:
                                return answer
                            strangers += 1
                except TimeoutError:
                    continue
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                raise NetError("connect_refused", f"nothing listens at {where}") from error
            raise NetError("network_unreachable", f"no way to {where}: {error.strerror}") from error
    if strangers:
        raise NetError("dns_malformed", f"{where} sent {strangers} answers to other questions, and none to ours")
    raise NetError("dns_timeout", f"{where} did not answer in time")
