"""The kind `http` against real servers: every failure gets its own reason, and no run outlasts its deadline."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.probes import runner
from apps.probes.contract import OptionError
from apps.probes.http_options import parse
from apps.probes.wire import Job
from tests.probes import servers
from tests.probes.authority import MIDDLE, ROOT, STRANGER, issued
from tests.probes.http_looks import LOCAL, against, probe
from tests.probes.servers import NOW_MS, Handler, Reader, Writer, http, says, served


def test_a_good_answer_is_up_with_its_phases() -> None:
    outcome = against(says(http())).outcome
    assert outcome.verdict == "up"
    assert (outcome.facts["status"], outcome.facts["size"], outcome.facts["address"]) == (200, 5, "127.0.0.1")
    assert {"connect", "first_byte"} <= set(outcome.facts["phases_ms"])


FAULTS: list[tuple[str, Handler, dict[str, Any], str, str]] = [
    ("status", says(http("500 Oh no")), {}, "down", "http_status"),
    ("missing", says(http("404 Not Found")), {}, "down", "http_status"),
    ("limited", says(http("429 Too Many")), {}, "down", "rate_limited"),
    ("credentials", says(http("401 No")), {"headers": {"Authorization": "Basic x"}}, "down", "auth_failed"),
    ("defaced", says(http(body=b"hacked")), {"keyword": "hello"}, "down", "body_mismatch"),
    ("stall", servers.stalls, {}, "down", "read_timeout"),
    ("drip", servers.drips, {}, "down", "read_timeout"),
    ("reset", servers.resets, {}, "down", "connection_reset"),
    ("silent close", says(b""), {}, "down", "connection_closed"),
    ("truncated", says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"), {}, "down", "truncated_body"),
    ("not http", says(b"SSH-2.0-OpenSSH_9.2\r\n"), {}, "down", "protocol_error"),
    ("bad chunks", says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello"), {}, "down", "protocol_error"),
    ("endless head", servers.floods_headers, {}, "down", "protocol_error"),
    ("bad gzip", says(http("200 OK", b"not gzip", "Content-Encoding: gzip")), {}, "down", "protocol_error"),
]


@pytest.mark.parametrize(("handler", "options", "verdict", "reason"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_is_called_by_its_name_within_the_deadline(
    handler: Handler, options: dict[str, Any], verdict: str, reason: str
) -> None:
    started = time.monotonic()
    result = against(handler, **options)
    assert (result.outcome.verdict, result.outcome.reason) == (verdict, reason), result.outcome.message
    assert time.monotonic() - started < 2.0


def test_a_slow_answer_is_degraded_with_its_figures() -> None:
    async def slowly(_request: bytes, _reader: object, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(http())

    outcome = against(slowly, degraded_ms=10).outcome
    assert (outcome.verdict, outcome.reason) == ("degraded", "too_slow")
    assert outcome.message.endswith("longer than 10 ms")


def test_endless_bodies_and_bombs_are_cut_at_the_cap() -> None:
    endless = against(servers.floods, timeout_ms=5_000).outcome
    assert (endless.verdict, endless.reason, endless.facts["is_capped"]) == ("down", "body_too_large", True)
    packed = says(http("200 OK", gzip.compress(b"\0" * 50_000_000), "Content-Encoding: gzip"))
    bomb = against(packed, max_body_bytes=1_000_000, timeout_ms=5_000).outcome
    assert (bomb.verdict, bomb.reason) == ("down", "body_too_large")
    assert bomb.facts["size"] < 2_000_000
    assert against(says(http("200 OK", b"x" * 900_000)), max_body_bytes=1_000_000).outcome.verdict == "up"


def test_a_refused_connection_and_an_unknown_name() -> None:
    refused = asyncio.run(probe(f"http://127.0.0.1:{servers.unused_port()}/")).outcome
    assert (refused.verdict, refused.reason) == ("down", "connect_refused")


def test_the_next_address_is_tried_when_one_refuses() -> None:
    """The resolver of this test returns two addresses; only the second one listens."""

    async def main() -> Any:
        from apps.net.resolver import Resolver

        class Two(Resolver):
            async def resolve(self, *_: object) -> list[str]:
                return ["127.0.0.2", "127.0.0.1"]

        async with served(says(http())) as port:
            network = Network(LOCAL, resolver=Two())
            try:
                return await runner.run(
                    Job(uuid.uuid4().hex, 1, 0, "http", f"http://localhost:{port}/", {}, 1_000), network, NOW_MS
                )
            finally:
                await network.close()

    outcome = asyncio.run(main()).outcome
    assert (outcome.verdict, outcome.facts["address"]) == ("up", "127.0.0.1")


# --- redirects


def redirecting(to: str) -> Handler:
    async def handle(request: bytes, _reader: object, writer: asyncio.StreamWriter) -> None:
        path = request.split(b" ")[1].decode()
        if path == "/end":
            writer.write(http(body=request))
        else:
            writer.write(http("302 Found", b"", f"Location: {to}"))

    return handle


def test_redirects_are_followed_and_told() -> None:
    outcome = against(redirecting("/end"), keyword="GET /end").outcome
    assert outcome.verdict == "up"
    assert [hop["status"] for hop in outcome.facts["redirects"]] == [302]


@pytest.mark.parametrize(
    ("to", "options", "reason"),
    [
        ("/", {}, "redirect_loop"),
        ("/other", {"max_redirects": 1}, "redirect_too_many"),
        ("file:///etc/passwd", {}, "redirect_blocked"),
        ("gopher://127.0.0.1/", {}, "redirect_blocked"),
        ("http://2130706433/", {}, "redirect_blocked"),
        ("/end", {"max_redirects": 0}, "http_status"),
    ],
)
def test_a_redirect_that_leads_astray(to: str, options: dict[str, Any], reason: str) -> None:
    assert against(redirecting(to), **options).outcome.reason == reason


async def cookie_gate(request: bytes, _reader: Reader, writer: Writer) -> None:
    """Set a cookie and redirect to the same address until it is sent back, as sites do that test for cookie support."""
    has_cookie = b"Cookie: seen=1\r\n" in request
    writer.write(http("200 OK", request) if has_cookie else http("302 Found", b"", "Location: /", "Set-Cookie: seen=1; Path=/"))


def test_cookies_are_kept_across_the_redirects_of_one_run() -> None:
    assert against(cookie_gate, keyword="Cookie: seen=1").outcome.verdict == "up"


@pytest.mark.parametrize(
    ("cookie", "is_sent"),
    [
        ("a=1", True),
        ("a=1; Path=/end", True),
        ("a=1; Path=/other", False),
        ("a=1; Secure; Domain=elsewhere.example", False),
        ("a=1; Domain=example.org", False),
        ("a=1; Max-Age=0", False),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", False),
    ],
)
def test_a_cookie_goes_where_it_is_for(cookie: str, is_sent: bool) -> None:
    async def handle(request: bytes, _reader: Reader, writer: Writer) -> None:
        is_end = request.startswith(b"GET /end")
        writer.write(http("200 OK", request) if is_end else http("302 Found", b"", "Location: /end", f"Set-Cookie: {cookie}"))

    expected: dict[str, Any] = {"keyword" if is_sent else "forbidden": "Cookie: a=1"}
    outcome = against(handle, **expected).outcome
    assert outcome.verdict == "up", outcome.message


def test_cookies_do_not_cross_hosts_or_runs() -> None:
    async def end(request: bytes, _reader: Reader, writer: Writer) -> None:
        writer.write(http("200 OK", request))

    async def main() -> list[Any]:
        async with served(end) as last:

            async def begin(request: bytes, _reader: Reader, writer: Writer) -> None:
                headers = [f"Location: http://localhost:{last}/", "Set-Cookie: a=1"]
                writer.write(http("302 Found", b"", *headers) if b"Cookie:" not in request else http("200 OK", b"again"))

            async with served(begin) as first:
                return [await probe(f"http://127.0.0.1:{first}/", forbidden="Cookie:") for _ in range(2)]

    assert [result.outcome.verdict for result in asyncio.run(main())] == ["up", "up"]


def test_a_redirect_that_sets_another_cookie_each_time_ends() -> None:
    count = iter(range(100))

    async def handle(_request: bytes, _reader: Reader, writer: Writer) -> None:
        writer.write(http("302 Found", b"", "Location: /", f"Set-Cookie: n={next(count)}"))

    assert against(handle).outcome.reason == "redirect_too_many"


@pytest.mark.parametrize(("location", "path"), [(b"/caf\xe9", b"/caf%E9"), ("/café".encode(), b"/caf%C3%A9")])
def test_a_redirect_keeps_the_bytes_of_its_location(location: bytes, path: bytes) -> None:
    async def handle(request: bytes, _reader: Reader, writer: Writer) -> None:
        is_begin = request.startswith(b"GET / ")
        head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: " + location + b"\r\n\r\n"
        writer.write(head if is_begin else http("200 OK", request))

    assert against(handle, keyword=f"GET {path.decode()} ").outcome.verdict == "up"


def test_a_redirect_into_a_refused_range_is_blocked_at_connect() -> None:
    policy = AddressPolicy.parse(private=False, allow="127.0.0.1/32")

    async def main() -> Any:
        async with served(redirecting("http://127.0.0.9:1/")) as port:
            return await probe(f"http://127.0.0.1:{port}/", policy)

    assert asyncio.run(main()).outcome.reason == "redirect_blocked"


def test_a_refused_address_is_never_connected_to() -> None:
    async def main() -> Any:
        async with served(says(http())) as port:
            return await probe(f"http://127.0.0.1:{port}/", AddressPolicy())

    outcome = asyncio.run(main()).outcome
    assert (outcome.verdict, outcome.reason) == ("down", "blocked_address")


def test_credentials_stay_with_their_origin() -> None:
    async def main() -> Any:
        async with served(says(http(body=b"end"))) as other:
            seen: list[bytes] = []

            async def echo(request: bytes, _reader: object, writer: asyncio.StreamWriter) -> None:
                seen.append(request)
                writer.write(http())

            async with served(echo) as last, served(redirecting(f"http://127.0.0.1:{last}/end")) as first:
                await probe(
                    f"http://127.0.0.1:{first}/", headers={"Authorization": "Bearer secret", "X-Api-Token": "t", "Accept": "a/b"}
                )
            assert other
            return seen[0]

    seen = asyncio.run(main())
    assert b"secret" not in seen
    assert b"X-Api-Token" not in seen
    assert b"Accept: a/b" in seen


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, str]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return ca, str(path)


def tls_server(ca: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, **options).configure_cert(context)
    return context


def over_tls(context: ssl.SSLContext, ca_file: str, **options: Any) -> Any:
    async def main() -> Any:
        async with served(says(http()), context) as port:
            return await probe(f"https://127.0.0.1:{port}/", ca_file=ca_file, timeout_ms=3_000, **options)

    return asyncio.run(main()).outcome


def test_a_certificate_is_a_fact(authority: tuple[trustme.CA, str]) -> None:
    outcome = over_tls(tls_server(authority[0], "127.0.0.1"), authority[1])
    assert outcome.verdict == "up", outcome.message
    certificate = outcome.facts["certificate"]
    assert certificate["names"] == ["127.0.0.1"]
    assert len(certificate["fingerprint"]) == 64
    assert outcome.facts["phases_ms"]["tls"] > 0


PAST, FUTURE = datetime.now(UTC) - timedelta(days=2), datetime.now(UTC) + timedelta(days=2)


@pytest.mark.parametrize(
    ("names", "options", "reason"),
    [
        (["other.example"], {}, "tls_hostname_mismatch"),
        (["127.0.0.1"], {"not_before": PAST - timedelta(days=9), "not_after": PAST}, "tls_expired"),
        (["127.0.0.1"], {"not_before": FUTURE}, "tls_not_yet_valid"),
    ],
)
def test_a_bad_certificate_is_down_and_shown(
    authority: tuple[trustme.CA, str], names: list[str], options: dict[str, Any], reason: str
) -> None:
    context = tls_server(authority[0], *names, **options)
    outcome = over_tls(context, authority[1])
    assert (outcome.verdict, outcome.reason) == ("down", reason), outcome.message
    assert outcome.facts["certificate"]["names"] == names
    assert over_tls(context, authority[1], verify_tls=False).verdict == "up"


def test_an_unknown_authority_is_not_trusted(authority: tuple[trustme.CA, str]) -> None:
    outcome = over_tls(tls_server(trustme.CA(), "127.0.0.1"), authority[1])
    assert outcome.reason in ("tls_unknown_ca", "tls_incomplete_chain"), outcome.message


def test_tls_spoken_to_a_plain_server_is_a_failed_handshake(authority: tuple[trustme.CA, str]) -> None:
    async def main() -> Any:
        async with served(says(http())) as port:
            return await probe(f"https://127.0.0.1:{port}/", ca_file=authority[1])

    assert asyncio.run(main()).outcome.reason in ("tls_handshake", "connection_closed", "connection_reset")


def test_a_redirect_from_https_to_http_is_not_followed(authority: tuple[trustme.CA, str]) -> None:
    async def main(**options: Any) -> Any:
        context = tls_server(authority[0], "127.0.0.1")
        async with (
            served(says(http())) as plain,
            served(says(http("301 Moved", b"", f"Location: http://127.0.0.1:{plain}/")), context) as port,
        ):
            return (await probe(f"https://127.0.0.1:{port}/", ca_file=authority[1], **options)).outcome

    assert asyncio.run(main()).reason == "redirect_downgrade"
    assert asyncio.run(main(allow_downgrade=True)).verdict == "up"


def test_a_certificate_that_ends_soon_is_degraded(authority: tuple[trustme.CA, str]) -> None:
    soon = datetime.now(UTC) + timedelta(days=3)
    context = tls_server(authority[0], "127.0.0.1", not_after=soon)
    outcome = over_tls(context, authority[1])
    assert (outcome.verdict, outcome.reason) == ("degraded", "tls_expiring")
    assert over_tls(context, authority[1], expiry_degraded_days=2).verdict == "up"
    assert over_tls(context, authority[1], expiry_down_days=7).verdict == "down"


def test_own_authority_client_certificate_and_a_missing_link() -> None:
    pair = issued("127.0.0.1", by=MIDDLE, chain=(MIDDLE.certificate,))
    client = issued(common="client", by=ROOT)

    async def main(server: Any, **options: Any) -> Any:
        async with served(says(http()), server) as port:
            return (await probe(f"https://127.0.0.1:{port}/", ca=ROOT.pem, **options)).outcome

    assert asyncio.run(main(pair.server())).verdict == "up"
    assert asyncio.run(main(issued("127.0.0.1", by=MIDDLE).server())).reason == "tls_incomplete_chain"
    assert asyncio.run(main(issued("127.0.0.1", by=STRANGER).server())).reason == "tls_unknown_ca"
    asks = pair.server(asks=ROOT.pem)
    assert asyncio.run(main(asks, client_certificate=client.pem, client_key=client.key_pem)).verdict == "up"
    assert asyncio.run(main(asks)).verdict == "down"


# --- options


@pytest.mark.parametrize(
    ("target", "raw", "field"),
    [
        ("ftp://x/", {}, "target"),
        ("http://", {}, "target"),
        ("http://user:pw@example.org/", {}, "target"),
        ("http://example.org:99999/", {}, "target"),
        ("http://0x7f.1/", {}, "target"),
        ("http://[::1", {}, "target"),
        ("http://exa mple.org/", {}, "target"),
        ("http://e.org/", {"method": "BREW"}, "options.method"),
        ("http://e.org/", {"headers": {"a b": "c"}}, "options.headers"),
        ("http://e.org/", {"headers": {"a": "b\r\nc: d"}}, "options.headers"),
        ("http://e.org/", {"headers": ["a"]}, "options.headers"),
        ("http://e.org/", {"accepted_statuses": ["2xx"]}, "options.accepted_statuses"),
        ("http://e.org/", {"accepted_statuses": ["300-200"]}, "options.accepted_statuses"),
        ("http://e.org/", {"accepted_statuses": []}, "options.accepted_statuses"),
        ("http://e.org/", {"max_redirects": True}, "options.max_redirects"),
        ("http://e.org/", {"max_redirects": 99}, "options.max_redirects"),
        ("http://e.org/", {"max_redirects": None}, "options.max_redirects"),
        ("http://e.org/", {"verify_tls": "yes"}, "options.verify_tls"),
        ("http://e.org/", {"body": "x"}, "options.body"),
        ("http://e.org/", {"keyword": "\ud800"}, "options.keyword"),
        ("http://e.org/", {"keyword": "x", "method": "HEAD"}, "options.keyword"),
        ("http://e.org/", {"colour": "red"}, "options.colour"),
        ("http://e.org/", {"forbidden": "x", "method": "HEAD"}, "options.forbidden"),
        ("http://e.org/", {"assertions": ["latency < 5"]}, "options.assertions"),
        ("http://e.org/", {"method": "POST", "body": "{", "body_type": "json"}, "options.body"),
        ("http://e.org/", {"auth": "basic", "username": "a"}, "options.password"),
        ("http://e.org/", {"auth": "bearer"}, "options.token"),
        ("http://e.org/", {"http_version": "3"}, "options.http_version"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name(target: str, raw: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(target, raw)
    assert caught.value.field == field


def test_options_survive_being_stored() -> None:
    raw = {"method": "POST", "body": "x", "accepted_statuses": [200, "404-410"], "headers": {"A": "b"}, "max_redirects": 0}
    options = parse("https://e.org/a?b=c", raw)
    assert parse("https://e.org/a?b=c", options.stored()) == options
