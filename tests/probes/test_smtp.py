from __future__ import annotations

import asyncio
import base64
import uuid
from typing import Any

import pytest

from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.probes import runner
from apps.probes.contract import OptionError
from apps.probes.kinds.smtp import parse
from apps.probes.wire import Job
from tests.probes.authority import DAY, MIDDLE, NOW, ROOT, STRANGER, Pair, issued
from tests.probes.servers import NOW_MS, Reader, Writer, talked

GOOD = issued("127.0.0.1", by=MIDDLE, chain=(MIDDLE.certificate,))
PASSWORD = "correct horse"


class Mail:
    """A small mail server that does as it is told."""

    def __init__(self, pair: Pair = GOOD, *, greeting: bytes = b"220 mx.example ESMTP\r\n", offers: str = "STARTTLS") -> None:
        self.pair = pair
        self.greeting = greeting
        self.offers = offers
        self.heard: list[str] = []

    async def talk(self, reader: Reader, writer: Writer) -> None:
        writer.write(self.greeting)
        while line := (await reader.readline()).decode().strip():
            self.heard.append(line)
            verb = line.split()[0].upper()
            if verb == "EHLO" and not self.offers:
                writer.write(b"500 unknown command\r\n")
            elif verb == "HELO":
                writer.write(b"250 mx.example\r\n")
            elif verb == "EHLO":
                lines = ["mx.example", *self.offers.split(",")]
                writer.write("".join(f"250{'-' if i < len(lines) - 1 else ' '}{x}\r\n" for i, x in enumerate(lines)).encode())
            elif verb == "STARTTLS":
                writer.write(b"220 go\r\n")
                await writer.start_tls(self.pair.server())
                self.offers = "AUTH PLAIN LOGIN"
            elif verb == "AUTH":
                await self.sign_in(line, reader, writer)
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                return

    async def sign_in(self, line: str, reader: Reader, writer: Writer) -> None:
        if line.startswith("AUTH LOGIN"):
            given = []
            for asked in (b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"):
                writer.write(asked)
                given.append(base64.b64decode(await reader.readline()).decode())
        else:
            given = base64.b64decode(line.split()[2]).decode().split("\0")[1:]
        writer.write(b"235 welcome\r\n" if given == ["probe", PASSWORD] else b"535 5.7.8 no\r\n")


def look(mail: Mail, context: Any = None, **options: Any) -> Any:
    async def main() -> Any:
        network = Network(AddressPolicy(private=True))
        async with talked(mail.talk, context) as port:
            job = Job(uuid.uuid4().hex, 1, 0, "smtp", f"127.0.0.1:{port}", {"ca": ROOT.pem, **options}, 1_000)
            try:
                return (await runner.run(job, network, NOW_MS)).outcome
            finally:
                await network.close()

    return asyncio.run(main())


def test_a_mail_server_is_up_and_never_asked_to_send() -> None:
    mail = Mail()
    outcome = look(mail, security="starttls", username="probe", password=PASSWORD)
    assert (outcome.verdict, outcome.reason) == ("up", None), outcome.message
    assert [line.split()[0] for line in mail.heard] == ["EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"]
    assert outcome.facts["banner"] == "mx.example ESMTP"
    assert outcome.facts["certificate"]["names"] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("mail", "options", "reason"),
    [
        (Mail(), {}, None),
        (Mail(), {"banner": r"^mx\."}, None),
        (Mail(offers=""), {}, None),
        (Mail(offers=""), {"security": "starttls"}, "starttls_missing"),
        (Mail(), {"banner": "Exchange"}, "banner_mismatch"),
        (Mail(greeting=b"554 closed\r\n"), {}, "smtp_greeting"),
        (Mail(greeting=b"+OK pop\r\n"), {}, "smtp_greeting"),
        (Mail(greeting=b""), {}, "read_timeout"),
        (Mail(offers="SIZE 10"), {"security": "starttls"}, "starttls_missing"),
        (Mail(issued("127.0.0.1", by=STRANGER)), {"security": "starttls"}, "tls_unknown_ca"),
        (Mail(issued("example.org", by=ROOT)), {"security": "starttls"}, "tls_hostname_mismatch"),
        (Mail(issued("127.0.0.1", by=ROOT, starts=NOW - 9 * DAY, ends=NOW - DAY)), {"security": "starttls"}, "tls_expired"),
        (Mail(issued("127.0.0.1", by=ROOT, ends=NOW + 3 * DAY)), {"security": "starttls"}, "tls_expiring"),
        (Mail(), {"security": "starttls", "username": "probe", "password": "m1staken"}, "auth_failed"),
        (Mail(), {"security": "tls"}, "tls_handshake"),
    ],
)  # fmt: skip
def test_every_failure_has_its_name(mail: Mail, options: dict[str, Any], reason: str | None) -> None:
    outcome = look(mail, **options)
    assert outcome.reason == reason, outcome.message
    assert "m1staken" not in str(outcome)


def test_tls_from_the_first_byte_with_login() -> None:
    mail = Mail(offers="AUTH LOGIN")
    assert look(mail, GOOD.server(), security="tls", username="probe", password=PASSWORD).verdict == "up"
    assert look(Mail(offers="AUTH LOGIN"), GOOD.server(), security="tls", username="probe", password="no").reason == "auth_failed"


@pytest.mark.parametrize(
    ("target", "raw", "field"),
    [
        ("mail.example.org:99999", {}, "target"),
        ("mail.example.org", {"username": "a"}, "options.password"),
        ("mail.example.org", {"username": "a", "password": "b"}, "options.security"),
        ("mail.example.org", {"banner": "("}, "options.banner"),
        ("mail.example.org", {"security": "ssl"}, "options.security"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name(target: str, raw: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse(target, raw)
    assert caught.value.field == field


def test_the_port_tells_the_security() -> None:
    assert [parse(f"m.example{port}", {}).way for port in ("", ":25", ":465", ":587")] == ["none", "none", "tls", "starttls"]
    options = parse("m.example:587", {"username": "a", "password": "b"})
    assert parse("m.example:587", options.stored()) == options
