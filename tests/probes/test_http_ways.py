"""The kind `http` with proxies, its own name server and OAuth 2 tokens; its secrets are not kept in results."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import dns.message
import dns.rcode
import dns.rrset
import pytest

from apps.net.address_policy import AddressPolicy
from apps.probes import oauth
from apps.probes.contract import OptionError, Outcome
from apps.probes.http_options import parse
from apps.probes.reasons import Reason
from apps.probes.runner import scrubbed
from tests.probes.authority import MIDDLE, ROOT, issued
from tests.probes.http_looks import LOCAL, probe
from tests.probes.servers import Handler, Reader, Writer, http, says, served, talked, unused_port

CAREFUL = AddressPolicy.parse(private=False, allow="127.0.0.0/8", deny="127.0.0.66/32")
"""The policy of production, except that it allows the loopback that these tests run on (without 127.0.0.66)."""


async def relay(reader: Reader, writer: Writer, host: str, port: int) -> None:
    to_reader, to_writer = await asyncio.open_connection(host, port)

    async def pour(source: Reader, sink: Writer) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
            sink.write_eof()

    try:
        await asyncio.gather(pour(reader, to_writer), pour(to_reader, writer))
    finally:
        to_writer.close()
        with contextlib.suppress(ConnectionError):
            await to_writer.wait_closed()


class HttpProxy:
    """An HTTP proxy: answers absolute URLs itself, opens tunnels to `upstream`, keeps the request lines in `asked`."""

    def __init__(self, upstream: int, *, refuses: bytes = b"", login: str = "") -> None:
        self.upstream, self.refuses, self.login = upstream, refuses, login
        self.asked: list[str] = []

    async def talk(self, reader: Reader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.partition("\r\n")[0])
        wanted = f"proxy-authorization: basic {base64.b64encode(self.login.encode()).decode()}".lower()
        if self.login and wanted not in head.lower():
            writer.write(b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")
        elif self.refuses:
            writer.write(self.refuses)
        elif head.startswith("CONNECT"):
            writer.write(b"HTTP/1.1 200 Go on\r\n\r\n")
            await relay(reader, writer, "127.0.0.1", self.upstream)
        else:
            writer.write(http("200 OK", b"through the proxy"))
        with contextlib.suppress(ConnectionError):
            await writer.drain()


class Socks:
    """A SOCKS5 proxy (RFC 1928), with or without a login (RFC 1929); keeps address type and host in `asked`."""

    def __init__(self, upstream: int, *, answer: int = 0, login: str = "") -> None:
        self.upstream, self.answer, self.login = upstream, answer, login
        self.asked: list[tuple[int, bytes]] = []

    async def talk(self, reader: Reader, writer: Writer) -> None:
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x02" if self.login else b"\x05\x00")
        if self.login:
            await reader.readexactly(1)
            user = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(b"\x01\x00" if f"{user.decode()}:{password.decode()}" == self.login else b"\x01\x01")
        _, _, _, kind = await reader.readexactly(4)
        host = await reader.readexactly((await reader.readexactly(1))[0] if kind == 3 else 4 if kind == 1 else 16)
        await reader.readexactly(2)
        self.asked.append((kind, host))
        writer.write(bytes([5, self.answer, 0, 1, 0, 0, 0, 0, 0, 0]))
        if not self.answer:
            await relay(reader, writer, "127.0.0.1", self.upstream)


def through(make: Any, target: str, policy: AddressPolicy = LOCAL, scheme: str = "http", **given: Any) -> tuple[Any, Any]:
    """Probe `target` through a proxy whose tunnels end at a local server; return the outcome and the proxy."""
    options = given.pop("options", {})
    user = given.pop("user", "")
    is_tls = target.startswith("https")
    pair = issued("e.test", by=MIDDLE, chain=(MIDDLE.certificate,))

    async def main() -> tuple[Any, Any]:
        async with served(says(http(body=b"at the end")), pair.server() if is_tls else None) as upstream:
            proxy = make(upstream, **given)
            async with talked(proxy.talk) as port:
                more = {"ca": ROOT.pem} if is_tls else {}
                result = await probe(target, policy, 2_000, proxy=f"{scheme}://{user}127.0.0.1:{port}", **more, **options)
                return result.outcome, proxy

    return asyncio.run(main())


def test_a_plain_request_is_forwarded_and_the_name_is_the_proxys_matter() -> None:
    outcome, proxy = through(HttpProxy, "http://only.the.proxy.knows/x", options={"keyword": "through the proxy"})
    assert (outcome.verdict, proxy.asked) == ("up", ["GET http://only.the.proxy.knows/x HTTP/1.1"]), outcome.message


def test_https_goes_through_a_tunnel_and_is_verified_end_to_end() -> None:
    outcome, proxy = through(HttpProxy, "https://e.test/", options={"keyword": "at the end"})
    assert (outcome.verdict, proxy.asked) == ("up", ["CONNECT e.test:443 HTTP/1.1"]), outcome.message
    assert outcome.facts["certificate"]["names"] == ["e.test"]


def test_socks_with_a_name_and_with_a_login() -> None:
    outcome, proxy = through(Socks, "http://far.test/", scheme="socks5", options={"keyword": "at the end"})
    assert (outcome.verdict, proxy.asked) == ("up", [(3, b"far.test")]), outcome.message
    outcome, _ = through(Socks, "http://far.test/", scheme="socks5", user="me:s%40cret@", login="me:s@cret")
    assert outcome.verdict == "up", outcome.message


@pytest.mark.parametrize(
    ("make", "target", "given", "said"),
    [
        (HttpProxy, "https://e.test/", {"refuses": b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"}, "403"),
        (HttpProxy, "https://e.test/", {"login": "a:b"}, "407"),
        (HttpProxy, "http://e.test/", {"login": "a:b"}, "407"),
        (HttpProxy, "https://e.test/", {"refuses": b"rubbish\r\n\r\n"}, "proxy"),
        (Socks, "http://e.test/", {"scheme": "socks5", "answer": 5}, "proxy"),
        (Socks, "http://e.test/", {"scheme": "socks5", "login": "a:b", "user": "a:c@"}, "proxy"),
    ],
)  # fmt: skip
def test_what_a_proxy_refuses_is_its_own_reason(make: Any, target: str, given: dict[str, Any], said: str) -> None:
    outcome, _ = through(make, target, **given)
    assert (outcome.verdict, outcome.reason) == ("down", "proxy_failed"), outcome.message
    assert said in outcome.message


def test_a_proxy_that_is_not_there_is_its_own_reason() -> None:
    outcome = asyncio.run(probe("http://e.test/", proxy=f"http://127.0.0.1:{unused_port()}")).outcome
    assert (outcome.reason, "refused the connection" in outcome.message) == ("proxy_failed", True)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("target", ["http://127.0.0.66/", "http://10.0.0.1/", "http://169.254.169.254/", "https://[::1]/"])
def test_a_proxy_is_no_way_around_the_guard(scheme: str, target: str) -> None:
    make = HttpProxy if scheme == "http" else Socks
    outcome, proxy = through(make, target, CAREFUL, scheme=scheme)
    assert (outcome.reason, proxy.asked) == ("blocked_address", []), outcome.message


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.66:3128", "socks5://10.0.0.1", "http://169.254.169.254:80", "http://[::ffff:10.0.0.1]"]
)
def test_a_proxy_behind_the_guard_is_refused(proxy: str) -> None:
    assert asyncio.run(probe("http://127.0.0.1/", CAREFUL, proxy=proxy)).outcome.reason == "blocked_address"


# --- its own name server


@contextlib.asynccontextmanager
async def name_server(*addresses: str, rcode: int = 0, knows_edns: bool = True) -> AsyncIterator[int]:
    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, peer: Any) -> None:
            query = dns.message.from_wire(data)
            answer = dns.message.make_response(query)
            if query.edns >= 0 and not knows_edns:
                answer.use_edns(False)
                answer.set_rcode(dns.rcode.FORMERR)
                self.transport.sendto(answer.to_wire(), peer)
                return
            answer.set_rcode(rcode)  # type: ignore[arg-type]  # a number will do
            if addresses and query.question[0].rdtype == dns.rdatatype.A:
                answer.answer = [dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *addresses)]
            self.transport.sendto(answer.to_wire(), peer)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def resolved(*addresses: str, policy: AddressPolicy = LOCAL, host: str = "e.test", **server: Any) -> Any:
    async def main() -> Any:
        async with served(says(http())) as port, name_server(*addresses, **server) as server_port:
            return (await probe(f"http://{host}:{port}/", policy, nameserver=f"127.0.0.1:{server_port}")).outcome

    return asyncio.run(main())


def test_a_name_is_looked_up_where_the_check_says() -> None:
    outcome = resolved("127.0.0.1")
    assert (outcome.verdict, outcome.facts["address"]) == ("up", "127.0.0.1"), outcome.message
    assert resolved(host="127.0.0.1").verdict == "up"
    assert (resolved().reason, resolved(rcode=3).reason, resolved(rcode=2).reason) == (
        "dns_empty",
        "dns_nxdomain",
        "dns_servfail",
    )


def test_a_name_server_that_knows_no_edns_is_asked_without() -> None:
    assert resolved("127.0.0.1", knows_edns=False).verdict == "up"


def test_a_name_server_is_no_way_around_the_guard() -> None:
    assert resolved("127.0.0.66", policy=CAREFUL).reason == "blocked_address"
    assert asyncio.run(probe("http://e.test/", CAREFUL, nameserver="10.0.0.1")).outcome.reason == "blocked_address"


# --- tokens


def tokens_of(*answers: bytes) -> tuple[Handler, list[str]]:
    """Return a token endpoint that sends these answers in turn, repeating the last, and the list of its requests."""
    asked: list[str] = []
    left = list(answers)

    async def handle(head: bytes, reader: Reader, writer: Writer) -> None:
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        asked.append(head.decode() + (await reader.readexactly(length)).decode())
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()

    return handle, asked


def granted(token: str, lives_s: int = 3_600) -> bytes:
    return http(body=json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": lives_s}).encode())


def with_token(endpoint: Handler, accepted: str, looks: int = 1) -> list[Any]:
    oauth._tokens.clear()

    async def handle(head: bytes, _reader: Reader, writer: Writer) -> None:
        is_right = f"authorization: bearer {accepted}".encode() in head.lower()
        writer.write(http("200 OK" if is_right else "401 No", head))
        await writer.drain()

    async def main() -> list[Any]:
        async with served(endpoint) as tokens, served(handle) as port:
            given: dict[str, Any] = {
                "token_url": f"http://127.0.0.1:{tokens}/token",
                "username": "id:1",
                "password": "s3cret-of-ours",
                "scope": "read",
            }
            found = []
            for _ in range(looks):
                found.append((await probe(f"http://127.0.0.1:{port}/", auth="oauth2", **given)).outcome)
            return found

    return asyncio.run(main())


def test_a_token_is_asked_for_once_and_used_until_its_end() -> None:
    endpoint, asked = tokens_of(granted("tok-1"))
    assert [outcome.verdict for outcome in with_token(endpoint, "tok-1", looks=3)] == ["up"] * 3
    assert len(asked) == 1
    assert "grant_type=client_credentials&scope=read" in asked[0]
    assert base64.b64encode(b"id%3A1:s3cret-of-ours").decode() in asked[0]


def test_a_token_that_was_taken_back_is_asked_for_anew_once() -> None:
    endpoint, asked = tokens_of(granted("tok-1"), granted("tok-2"))
    assert [outcome.verdict for outcome in with_token(endpoint, "tok-2")] == ["up"]
    endpoint, asked = tokens_of(granted("tok-1"))
    outcome = with_token(endpoint, "tok-9")[0]
    assert (outcome.reason, len(asked)) == ("auth_failed", 2)


@pytest.mark.parametrize(
    "answer",
    [http("401 No", b'{"error": "invalid_client"}'), http(body=b"not json"), http(body=b"[]"), http(body=b'{"access_token": 5}')],
)
def test_no_token_is_a_failed_sign_in(answer: bytes) -> None:
    endpoint, _ = tokens_of(answer)
    outcome = with_token(endpoint, "x")[0]
    assert (outcome.verdict, outcome.reason) == ("down", "auth_failed")
    assert "gives no token" in outcome.message


def test_a_token_endpoint_that_is_away_says_so() -> None:
    oauth._tokens.clear()
    given: dict[str, Any] = {
        "auth": "oauth2",
        "token_url": f"http://127.0.0.1:{unused_port()}/",
        "username": "a",
        "password": "b",
    }
    outcome = asyncio.run(probe("http://127.0.0.1:1/", **given)).outcome
    assert (outcome.reason, "asking http" in outcome.message) == ("connect_refused", True)


# --- secrets


def test_a_secret_that_the_target_echoes_is_not_kept() -> None:
    async def echoes(head: bytes, _reader: Reader, writer: Writer) -> None:
        writer.write(http("500 Oops", head))
        await writer.drain()

    async def main() -> Any:
        async with served(echoes) as port:
            headers = {"Authorization": "Bearer very-secret-key", "X-Short": "ab"}
            return (await probe(f"http://127.0.0.1:{port}/", headers=headers)).outcome

    outcome = asyncio.run(main())
    assert outcome.reason == "http_status"
    assert "very-secret-key" not in json.dumps(outcome.facts)
    assert "[secret]" in outcome.facts["body"]


def test_scrubbing_reaches_every_text() -> None:
    facts = {"a": ["x hunter2!", {"b": "hunter2!"}], "n": 5}
    outcome = scrubbed(Outcome.because(Reason.HTTP_STATUS, "says hunter2!", facts), ["hunter2!"])
    assert (outcome.message, outcome.facts) == ("says [secret]", {"a": ["x [secret]", {"b": "[secret]"}], "n": 5})


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"proxy": "ftp://x"}, "proxy"), ({"proxy": "http://"}, "proxy"), ({"proxy": "http://h:99999"}, "proxy"),
        ({"nameserver": "a b"}, "nameserver"), ({"auth": "oauth2"}, "token_url"),
        ({"auth": "oauth2", "token_url": "ftp://x", "username": "a", "password": "b"}, "token_url"),
        ({"auth": "oauth2", "token_url": "http://x/", "username": "a"}, "password"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_its_name(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse("http://e.test/", raw)
    assert caught.value.field == f"options.{field}"
