"""Hostile targets: each gets the right reason in bounded time, and none blocks the event loop."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import ssl
import time
import uuid
import zlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from apps.net import chains
from apps.net.address_policy import AddressPolicy
from apps.net.errors import NetError
from apps.net.network import Network
from apps.net.stream import Stream
from apps.probes import runner
from apps.probes.contract import Outcome
from apps.probes.judge import upside_down
from apps.probes.reasons import Reason
from apps.probes.wire import Job
from tests.probes.authority import MIDDLE, ROOT, Pair, issued
from tests.probes.http_looks import LOCAL, against, probe
from tests.probes.servers import NOW_MS, Reader, Writer, http, says, served, stalls, talked

HOST = "127.0.0.1"


def run(kind: str, target: str, timeout_ms: int = 1_500, **options: Any) -> Any:
    """Return a coroutine that runs the kind once and returns its outcome."""

    async def main() -> Any:
        network = Network(AddressPolicy(private=True))
        try:
            return (await runner.run(Job(uuid.uuid4().hex, 1, 0, kind, target, options, timeout_ms), network, NOW_MS)).outcome
        finally:
            await network.close()

    return main()


def talk_to(talk: Any, kind: str, **options: Any) -> Any:
    async def main() -> Any:
        async with talked(talk) as port:
            return await run(kind, f"{HOST}:{port}", **options)

    return asyncio.run(main())


# --- truncated and malformed HTTP


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Ty",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n",
    ],
)  # fmt: skip
def test_an_answer_that_ends_within_its_headers_is_down(answer: bytes) -> None:
    outcome = against(says(answer)).outcome
    assert (outcome.verdict, outcome.reason) == ("down", "connection_closed"), outcome.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi", "its first line is b'HTTP/1.1 2000 OK'"),
        (b"HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "its first line is b'HTTP/3.0 200 OK'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhi", "its length is 99999999999999999999999"),
    ],
    ids=["status", "version", "length"],
)
def test_headers_that_cannot_be_are_down(answer: bytes, words: str) -> None:
    outcome = against(says(answer)).outcome
    assert (outcome.verdict, outcome.reason, words in outcome.message) == ("down", "protocol_error", True), outcome.message


def test_a_packed_body_of_which_nothing_can_be_unpacked_is_cut() -> None:
    outcome = against(says(http("200 OK", gzip.compress(bytes(range(256)) * 4)[:40], "Content-Encoding: gzip"))).outcome
    assert (outcome.verdict, outcome.reason) == ("down", "truncated_body"), outcome.facts
    for whole in (gzip.compress(b""), gzip.compress(b"one") + gzip.compress(b"two"), b""):
        assert against(says(http("200 OK", whole, "Content-Encoding: gzip"))).outcome.verdict == "up"
    both = gzip.compress(b"one") + gzip.compress(b"two")
    for padding in (b"", b"\0" * 512, b"\r\n<!-- cached -->", b"\x1f"):
        answer = http("200 OK", both + padding, "Content-Encoding: gzip")
        assert against(says(answer), keyword="onetwo").outcome.verdict == "up", padding


@pytest.mark.parametrize(
    ("body", "codings"),
    [
        (gzip.compress(gzip.compress(b"hello")), "gzip, gzip"),
        (gzip.compress(zlib.compress(b"hello")), "deflate,gzip"),
        (gzip.compress(b"hello"), "identity, gzip"),
        (gzip.compress(b"hello"), "x-gzip"),
    ],
    # A gzip header holds the second it was made in, and every test process must collect the same names.
    ids=["gzip twice", "deflate in gzip", "identity", "x-gzip"],
)
def test_several_codings_are_undone_in_turn(body: bytes, codings: str) -> None:
    assert against(says(http("200 OK", body, f"Content-Encoding: {codings}")), keyword="hello").outcome.verdict == "up"


def test_codings_without_end_are_refused() -> None:
    answer = http("200 OK", b"x", f"Content-Encoding: {', '.join(['gzip'] * 50)}")
    assert against(says(answer)).outcome.reason == "protocol_error"


@pytest.mark.parametrize("packed", [zlib.compress(b"hello " * 100), zlib.compress(b"hello " * 100)[2:-4]])
def test_deflate_with_and_without_its_frame(packed: bytes) -> None:
    answer = says(http("200 OK", packed, "Content-Encoding: deflate"))
    assert against(answer, keyword="hello hello").outcome.verdict == "up"


def test_what_is_not_packed_as_it_says_is_no_http() -> None:
    outcome = against(says(http("200 OK", b"plain words", "Content-Encoding: gzip"))).outcome
    assert (outcome.verdict, outcome.reason) == ("down", "protocol_error"), outcome.message


@pytest.mark.parametrize("charset", ["punycode", "idna", "undefined", "utf-7", "rot13", "nonsense", "utf-16"])
def test_no_character_set_costs_time_or_hides_the_target(charset: str) -> None:
    began = time.monotonic()
    answer = http("200 OK", b"a-b" * 200_000, f"Content-Type: text/html; charset={charset}")
    assert against(says(answer), keyword="nothing").outcome.reason == "body_mismatch"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("body", "assertion", "verdict"),
    [
        (b'{"a": 1' + b"0" * 400 + b"}", "[json.$.a] > 5", "up"),
        (b'{"a": "\\ud800"}', "[json.$.a] matches x", "down"),
        (b'{"a": "\\ud800 x"}', "[json.$.a] matches x", "up"),
    ],
)  # fmt: skip
def test_odd_json_is_judged(body: bytes, assertion: str, verdict: str) -> None:
    assert against(says(http("200 OK", body)), assertions=[assertion]).outcome.verdict == verdict


def test_paths_look_into_documents_of_a_bounded_number_of_values() -> None:
    large = http("200 OK", b"[" + b"0," * 1_100_000 + b"0]")
    outcome = against(says(large), timeout_ms=3_000, assertions=["[json.$[0]] == 0"]).outcome
    assert (outcome.reason, "1,000,000 values" in outcome.message) == ("body_too_large", True)


def test_paths_look_into_all_of_a_body_that_may_be_read() -> None:
    large = http("200 OK", b'{"filler": "' + b"x" * 1_200_000 + b'", "state": "ok"}')
    assert against(says(large), timeout_ms=3_000, assertions=["[json.$.state] == ok"]).outcome.verdict == "up"


@pytest.mark.parametrize("repeated", ["[*,*]", "[0,0]", "[0:1,0:1]", "[?@,?@]", "[?@,*]"])
def test_a_path_that_doubles_its_nodes_holds_no_other_run(repeated: str) -> None:
    """A path of 150 characters may visit 2^24 nodes of 49 bytes of JSON: it is stopped, and does not block the loop."""
    nested = http("200 OK", b"[" * 24 + b"1" + b"]" * 24)
    longest_ms: list[float] = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(0.01)
            longest_ms.append((loop.time() - began) * 1000)

    async def main() -> Any:
        watching = asyncio.ensure_future(watch())
        async with served(says(nested)) as port:
            result = await probe(f"http://127.0.0.1:{port}/", timeout_ms=8_000, assertions=[f"[json.${repeated * 24}.z] == 1"])
        watching.cancel()
        return result

    outcome = asyncio.run(main()).outcome
    assert outcome.verdict in ("down", "unknown")
    assert max(longest_ms) < 5_000  # a third of the silence after which a region counts as gone


def test_credentials_may_be_of_any_letters() -> None:
    async def echoes(head: bytes, _reader: Reader, writer: Writer) -> None:
        wanted = base64.b64encode("jürgen:pässwörd".encode())
        writer.write(http("200 OK" if wanted in head else "401 No"))
        await writer.drain()

    assert against(echoes, auth="basic", username="jürgen", password="pässwörd").outcome.verdict == "up"


def test_a_long_way_through_a_sign_in_is_followed() -> None:
    async def leads(head: bytes, _reader: Reader, writer: Writer) -> None:
        is_first = head.startswith(b"GET / ")
        writer.write(http("302 Found", b"", f"Location: /next?{'x' * 4_000}") if is_first else http())
        await writer.drain()

    assert against(leads).outcome.verdict == "up"


def test_what_was_not_looked_at_is_not_turned_upside_down() -> None:
    for reason in (Reason.PROXY_FAILED, Reason.BLOCKED_ADDRESS, Reason.INTERNAL):
        outcome = Outcome.because(reason, "")
        assert upside_down(outcome) == outcome


# --- TLS in the kind http


def over_tls(handler: Any, pair: Pair, *, server: dict[str, Any] | None = None, **options: Any) -> Any:
    async def main() -> Any:
        async with served(handler, pair.server(**(server or {}))) as port:
            return (await probe(f"https://{HOST}:{port}/", LOCAL, 2_000, ca=ROOT.pem, **options)).outcome

    return asyncio.run(main())


GOOD = issued(HOST, by=MIDDLE, chain=(MIDDLE.certificate,))


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_http_says_when_a_client_certificate_is_wanted(most: ssl.TLSVersion) -> None:
    assert over_tls(says(http()), GOOD, server={"asks": ROOT.pem, "most": most}).reason == "tls_client_cert"


def test_http_says_when_the_protocol_is_old() -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        outcome = over_tls(says(http()), GOOD, server={"least": ssl.TLSVersion.TLSv1, "most": ssl.TLSVersion.TLSv1_1})
    assert outcome.reason == "tls_old_protocol", outcome.message


def test_a_common_name_is_no_name() -> None:
    outcome = over_tls(says(http()), issued(by=MIDDLE, chain=(MIDDLE.certificate,), common=HOST))
    assert outcome.reason == "tls_hostname_mismatch", outcome.message


# --- certificates that only OpenSSL objects to


def forged(pair: Pair) -> Pair:
    """Return the pair with one bit of its certificate's signature flipped."""
    der = bytearray(pair.certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return Pair(x509.load_der_x509_certificate(bytes(der)), pair.key, pair.chain)


def for_clients() -> Pair:
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return issued(HOST, by=MIDDLE, chain=(MIDDLE.certificate,), more=(purpose,))


def by_a_leaf() -> Pair:
    leaf = issued("e.test", by=MIDDLE)
    return issued(HOST, common="below", by=leaf, chain=(leaf.certificate, MIDDLE.certificate))


@pytest.mark.parametrize(
    ("make", "reason"), [(lambda: forged(GOOD), "tls_unknown_ca"), (for_clients, "tls_handshake"), (by_a_leaf, "tls_unknown_ca")]
)
def test_a_certificate_fails_closed(make: Any, reason: str) -> None:
    pair = make()

    async def main() -> Any:
        async with served(stalls, pair.server()) as port:
            return await run("tls", f"{HOST}:{port}", ca=ROOT.pem)

    outcome = asyncio.run(main())
    assert (outcome.verdict, outcome.reason) == ("down", reason), outcome.message


def test_a_fault_without_a_name_is_a_fault() -> None:
    found = chains.judge([GOOD.certificate], [0, 77])
    assert found is not None
    assert found.code == "tls_handshake"
    assert chains.judge([GOOD.certificate], [0]) is None


# --- dialogues


def test_a_server_that_never_stops_to_speak_keeps_no_loop() -> None:
    async def pours(_reader: Reader, writer: Writer) -> None:
        writer.write(b"* OK hello\r\n")
        while True:
            writer.write(b"* x\r\n" * 2_000)
            await writer.drain()
            await asyncio.sleep(0)

    began = time.monotonic()
    assert talk_to(pours, "tls", starttls="imap").reason == "starttls_missing"
    assert talk_to(pours, "tcp", dialogue=["expect never"]).reason == "banner_mismatch"
    assert time.monotonic() - began < 3


def test_data_that_is_always_there_does_not_outlast_the_deadline() -> None:
    async def main() -> tuple[NetError, int]:
        here, there = socket.socketpair()
        for end in (here, there):
            end.setblocking(False)
        stream, loop = Stream(here, "it"), asyncio.get_running_loop()
        beats = 0

        async def pour() -> None:
            while True:
                await loop.sock_sendall(there, b"x" * 16_384)
                await asyncio.sleep(0)

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.01)

        others = [asyncio.create_task(pour()), asyncio.create_task(beat())]
        until = loop.time() + 0.3

        async def read_on() -> None:
            while True:
                await stream.receive(until)

        try:
            with pytest.raises(NetError) as caught:
                await read_on()
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            here.close()
            there.close()
        return caught.value, beats

    error, beats = asyncio.run(main())
    assert (error.code, beats > 5) == ("read_timeout", True)


def test_a_mail_server_that_does_not_say_good_bye_is_not_slow() -> None:
    async def mute(reader: Reader, writer: Writer) -> None:
        writer.write(b"220 mail\r\n")
        await reader.readline()
        writer.write(b"250 mail\r\n")
        await reader.read()

    outcome = talk_to(mute, "smtp", timeout_ms=2_000, security="none", degraded_ms=250)
    assert (outcome.verdict, outcome.reason) == ("up", None), outcome.message


def test_ldap_in_two_pieces() -> None:
    async def pieces(reader: Reader, writer: Writer) -> None:
        await reader.readexactly(31)
        answer = bytes.fromhex("300c02010178070a010004000400")
        writer.write(answer[:5])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(answer[5:])
        await writer.start_tls(GOOD.server())
        await reader.read()

    async def main() -> Any:
        async with talked(pieces) as port:
            return await run("tls", f"{HOST}:{port}", starttls="ldap", ca=ROOT.pem)

    outcome = asyncio.run(main())
    assert outcome.verdict == "up", outcome.message


def test_a_character_in_two_pieces() -> None:
    async def pieces(_reader: Reader, writer: Writer) -> None:
        text = "grüß dich\r\n".encode()
        for piece in (text[:3], text[3:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)

    assert talk_to(pieces, "tcp", dialogue=["expect grüß dich"]).verdict == "up"


# --- secrets


def test_what_is_sent_of_a_secret_is_not_kept_either() -> None:
    async def echoes(head: bytes, _reader: Reader, writer: Writer) -> None:
        writer.write(http("503 Oops", head))
        await writer.drain()

    async def main(**options: Any) -> Any:
        async with served(echoes) as port:
            network = Network(LOCAL)
            job = Job(uuid.uuid4().hex, 1, 0, "http", f"http://{HOST}:{port}/", options, 3_000, retries=1)
            try:
                return (await runner.run(job, network, NOW_MS)).outcome
            finally:
                await network.close()

    given = {"auth": "basic", "username": "me", "password": "s3cret-words"}
    outcome = asyncio.run(main(**given))
    sent = base64.b64encode(b"me:s3cret-words").decode()
    assert sent not in json.dumps(outcome.facts)
    assert len(outcome.facts["attempts"]) == 2
    turned = asyncio.run(main(**given, upside_down=True))
    assert turned.verdict == "up"
    assert sent not in json.dumps(turned.facts)
