from __future__ import annotations

import asyncio
import ssl
import uuid
from typing import Any

import pytest

from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.probes import runner
from apps.probes.contract import OptionError
from apps.probes.kinds.tls import parse
from apps.probes.wire import Job
from tests.probes.authority import DAY, MIDDLE, NOW, ROOT, STRANGER, Pair, issued, weak_key
from tests.probes.http_looks import probe
from tests.probes.servers import NOW_MS, http, says, served, stalls, talked

HOST = "127.0.0.1"
GOOD = issued(HOST, by=MIDDLE, chain=(MIDDLE.certificate,))


async def look(port: int, baseline: dict[str, Any] | None = None, **options: Any) -> Any:
    network = Network(AddressPolicy(private=True))
    job = Job(uuid.uuid4().hex, 1, 0, "tls", f"{HOST}:{port}", {"ca": ROOT.pem, **options}, 2_000, baseline)
    try:
        return (await runner.run(job, network, NOW_MS)).outcome
    finally:
        await network.close()


def seen(pair: Pair, *, server: dict[str, Any] | None = None, **options: Any) -> Any:
    async def main() -> Any:
        async with served(stalls, pair.server(**(server or {}))) as port:
            return await look(port, **options)

    return asyncio.run(main())


def test_a_good_certificate_is_up_and_shown() -> None:
    outcome = seen(GOOD)
    assert (outcome.verdict, outcome.reason) == ("up", None), outcome.message
    facts = outcome.facts
    assert (facts["protocol"], facts["certificate"]["names"], facts["certificate"]["chain"]) == ("TLSv1.3", [HOST], 2)
    assert facts["phases_ms"].keys() == {"dns", "connect", "tls"}


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (issued(HOST, by=MIDDLE), "tls_incomplete_chain"),
        (issued(HOST, by=STRANGER, fetched_from="http://a.example/x.cer"), "tls_incomplete_chain"),
        (issued(HOST, by=STRANGER), "tls_unknown_ca"),
        (issued(HOST, by=STRANGER, chain=(STRANGER.certificate,)), "tls_unknown_ca"),
        (issued(HOST), "tls_self_signed"),
        (issued(HOST, by=ROOT, starts=NOW - 9 * DAY, ends=NOW - DAY), "tls_expired"),
        (issued(HOST, by=ROOT, starts=NOW + DAY), "tls_not_yet_valid"),
        (issued("example.org", by=ROOT), "tls_hostname_mismatch"),
        (issued(by=ROOT, common=HOST), "tls_hostname_mismatch"),
        (issued(HOST, by=ROOT, key=weak_key()), "tls_weak_key"),
    ],
)  # fmt: skip
def test_every_fault_of_a_certificate_has_its_name_and_is_shown(pair: Pair, reason: str) -> None:
    outcome = seen(pair)
    assert (outcome.verdict, outcome.reason) == ("down", reason), outcome.message
    assert outcome.facts["certificate"]["fingerprint"]
    assert seen(pair, verify_tls=False, expiry_degraded_days=0).verdict == "up"


def test_a_certificate_that_ends_soon_is_degraded_then_down() -> None:
    ends = issued(HOST, by=ROOT, ends=NOW + 5 * DAY)
    assert (seen(ends).verdict, seen(ends).reason) == ("degraded", "tls_expiring")
    assert seen(ends, expiry_degraded_days=3).verdict == "up"
    down = seen(ends, expiry_down_days=7)
    assert (down.verdict, down.reason, down.message) == ("down", "tls_expiring", "[certificate.days] (5.0) >= 7")


def seen_by_http(pair: Pair, **options: Any) -> Any:
    async def main() -> Any:
        async with served(says(http()), pair.server()) as port:
            return await probe(f"https://{HOST}:{port}/", timeout_ms=3_000, **options)

    return asyncio.run(main()).outcome


@pytest.mark.parametrize("look_at", [seen, seen_by_http])
def test_an_intermediate_certificate_that_ends_first_is_told(look_at: Any) -> None:
    middle = issued(common="Soon Over", organization="Tests Ltd", is_authority=True, by=ROOT, ends=NOW + 3 * DAY)
    outcome = look_at(issued(HOST, by=middle, chain=(middle.certificate,)), ca=ROOT.pem)
    assert (outcome.verdict, outcome.reason) == ("degraded", "tls_expiring")
    assert "Soon Over" in outcome.message


@pytest.mark.parametrize("look_at", [seen, seen_by_http])
def test_an_authority_of_ones_own_may_be_an_intermediate(look_at: Any) -> None:
    outcome = look_at(issued(HOST, by=MIDDLE, chain=(MIDDLE.certificate,)), ca=MIDDLE.pem)
    assert outcome.verdict == "up", outcome.message


def test_an_old_protocol_is_named() -> None:
    old = {"least": ssl.TLSVersion.TLSv1, "most": ssl.TLSVersion.TLSv1_1}
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        outcome = seen(GOOD, server=old)
    assert (outcome.verdict, outcome.reason) == ("down", "tls_old_protocol"), outcome.message
    assert seen(GOOD, server={"most": ssl.TLSVersion.TLSv1_2}, min_protocol="TLSv1.3").reason == "tls_old_protocol"
    assert seen(GOOD, server={"most": ssl.TLSVersion.TLSv1_2}).verdict == "up"


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_a_client_certificate_says_so(most: ssl.TLSVersion) -> None:
    server = {"asks": ROOT.pem, "most": most}
    assert seen(GOOD, server=server).reason == "tls_client_cert"
    client = issued(common="client", by=ROOT)
    ours: dict[str, Any] = {"client_certificate": client.pem, "client_key": client.key_pem}
    assert seen(GOOD, server=server, **ours).verdict == "up"
    foreign = issued(common="client", by=STRANGER)
    assert seen(GOOD, server=server, client_certificate=foreign.pem, client_key=foreign.key_pem).reason == "tls_client_cert"


def test_a_certificate_that_changed_is_told_when_asked() -> None:
    first = seen(GOOD, notice_change=True)
    assert (first.verdict, first.facts["baseline"]) == ("up", {"fingerprint": first.facts["certificate"]["fingerprint"]})
    assert seen(GOOD, notice_change=True, baseline=first.facts["baseline"]).verdict == "up"
    other = seen(issued(HOST, by=MIDDLE, chain=(MIDDLE.certificate,)), notice_change=True, baseline=first.facts["baseline"])
    assert (other.verdict, other.reason) == ("degraded", "tls_cert_changed")
    assert other.facts["baseline"] != first.facts["baseline"]
    assert "baseline" not in seen(GOOD).facts


def test_an_issuer_is_looked_at_when_asked() -> None:
    assert seen(GOOD, issuer="test middle").verdict == "up"
    assert seen(GOOD, issuer="Let's Encrypt").reason == "assertion_failed"


SCRIPTS: dict[str, list[tuple[bytes, int]]] = {
    "smtp": [(b"220-mail\r\n220 ready\r\n", -1), (b"250-mail\r\n250-SIZE 1\r\n250 STARTTLS\r\n", -1), (b"220 go\r\n", 0)],
    "imap": [(b"* OK hello\r\n", -1), (b"* CAPABILITY x\r\na OK go\r\n", 0)],
    "pop3": [(b"+OK hello\r\n", -1), (b"+OK go\r\n", 0)],
    "ldap": [(b"", 31), (bytes.fromhex("300c02010178070a010004000400"), 0)],
    "postgres": [(b"", 8), (b"S", 0)],
}
"""By protocol: what the server sends, and what it then waits for, a line (-1) or that many bytes."""


@pytest.mark.parametrize("protocol", SCRIPTS)
def test_tls_behind_starttls(protocol: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for said, wait in SCRIPTS[protocol]:
            writer.write(said)
            await (reader.readline() if wait < 0 else reader.readexactly(wait))
        await writer.start_tls(GOOD.server())
        await reader.read()

    async def main() -> Any:
        async with talked(talk) as port:
            return await look(port, starttls=protocol)

    outcome = asyncio.run(main())
    assert outcome.verdict == "up", (outcome.reason, outcome.message)


@pytest.mark.parametrize(
    ("protocol", "script", "reason"),
    [
        ("smtp", [b"220 mail\r\n", b"250 mail\r\n"], "starttls_missing"),
        ("smtp", [b"220 mail\r\n", b"250-mail\r\n250 STARTTLS\r\n", b"454 not now\r\n"], "starttls_missing"),
        ("smtp", [b"554 go away\r\n"], "smtp_greeting"),
        ("smtp", [b"SSH-2.0-x\r\n"], "smtp_greeting"),
        ("smtp", [b"220 m\r\n", b"250-m\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"], "protocol_error"),
        ("imap", [b"* OK hello\r\n", b"a NO never\r\n"], "starttls_missing"),
        ("imap", [b"hello\r\n"], "banner_mismatch"),
        ("pop3", [b"+OK hello\r\n", b"-ERR never\r\n"], "starttls_missing"),
        ("pop3", [b""], "connection_closed"),
        ("pop3", [b"x" * 9_000], "protocol_error"),
    ],
)
def test_a_server_without_starttls_is_named(protocol: str, script: list[bytes], reason: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for said in script[:-1]:
            writer.write(said)
            await reader.readline()
        writer.write(script[-1])
        if script[-1]:
            await reader.read()

    async def main() -> Any:
        async with talked(talk) as port:
            return await look(port, starttls=protocol)

    outcome = asyncio.run(main())
    assert (outcome.verdict, outcome.reason) == ("down", reason), outcome.message


def test_what_is_no_tls_or_never_ends_is_a_failed_handshake() -> None:
    async def answers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9\r\n")
        await asyncio.sleep(1)

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def closes(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(10)

    async def main(talk: Any) -> Any:
        async with talked(talk) as port:
            return await look(port)

    for talk, words in ((answers, "not with TLS"), (silent, "not finished in time"), (closes, "")):
        outcome = asyncio.run(main(talk))
        assert (outcome.verdict, outcome.reason in ("tls_handshake", "connection_reset")) == ("down", True), outcome
        assert words in outcome.message


def test_a_plain_http_server_is_no_tls() -> None:
    async def main() -> Any:
        async with served(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
            return await look(port)

    assert asyncio.run(main()).reason == "tls_handshake"


@pytest.mark.parametrize(
    ("target", "raw", "field"),
    [
        ("a b", {}, "target"),
        ("example.org:0", {}, "target"),
        ("example.org", {"starttls": "ftp"}, "options.starttls"),
        ("example.org", {"ca": "nonsense"}, "options.ca"),
        ("example.org", {"client_certificate": ROOT.pem}, "options.client_key"),
        ("example.org", {"client_certificate": ROOT.pem, "client_key": STRANGER.key_pem}, "options.client_key"),
        ("example.org", {"client_certificate": ROOT.pem, "client_key": "x"}, "options.client_key"),
        ("example.org", {"server_name": "a b"}, "options.server_name"),
        ("example.org", {"expiry_degraded_days": -1}, "options.expiry_degraded_days"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name(target: str, raw: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(target, raw)
    assert caught.value.field == field


def test_options_survive_being_stored() -> None:
    options = parse("example.org", {"starttls": "imap", "ca": ROOT.pem, "expiry_degraded_days": 30})
    assert options.port == 143
    assert parse("example.org", options.stored()) == options
    assert parse("[::1]:8443", {}).port == 8443
