"""`smtp`: a mail server greets, offers what is expected and accepts a login; no mail is sent.

Proves that greeting, EHLO, STARTTLS or TLS, the certificate and, with credentials, the login work. Cannot prove that
mail is delivered.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.net.errors import NetError
from apps.net.hosts import host_port
from apps.net.resolver import Family
from apps.net.stream import Stream
from apps.probes import conditions, judge, patterns
from apps.probes.contract import (
    IP_VERSION,
    Facts,
    Kind,
    OptionError,
    OptionField,
    Outcome,
    ProbeContext,
    RawOptions,
    stored_fields,
)
from apps.probes.dialogue import Lines, ehlo, ensure_drained, greet_smtp, starttls_smtp
from apps.probes.reasons import Reason
from apps.probes.targets import authority_of, endpoint
from apps.probes.trust import TRUST_FIELDS, TrustOptions, secured

_SECURITY = {"auto": "By port", "none": "None", "starttls": "STARTTLS", "tls": "TLS from the first byte"}
_BY_PORT = {465: "tls", 587: "starttls"}


_GOOD_BYE_S = 0.3
ASSERTABLE_FACTS = (
    "latency", "dns", "connect", "tls", "address", "banner", "extensions", "protocol", "certificate.days", "certificate.issuer",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    host: str
    port: int
    security: str
    ehlo_name: str
    banner: str
    username: str
    password: str
    assertions: tuple[str, ...]
    tls: TrustOptions
    ip_version: Family
    degraded_ms: int | None

    @property
    def way(self) -> str:
        """The security mode, with `auto` resolved by the port."""
        return _BY_PORT.get(self.port, "none") if self.security == "auto" else self.security

    def stored(self) -> dict[str, Any]:
        return stored_fields(self, without=("host", "port", "degraded_ms"))


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    """Parse and validate; the target is `host` or `host:port` (default 25). Raises OptionError with the field."""
    host, port = endpoint(target, 25)
    fields = RawOptions(raw)
    options = Options(
        host=host,
        port=port,
        security=fields.choice("security", "auto", tuple(_SECURITY)),
        ehlo_name=fields.host("ehlo_name") or "probe.invalid",
        banner=fields.text("banner", limit=patterns.LONGEST),
        username=fields.text("username", limit=320),
        password=fields.text("password", limit=1_000),
        assertions=conditions.read(fields, ASSERTABLE_FACTS),
        tls=TrustOptions.read(fields),
        ip_version=fields.family(),
        degraded_ms=fields.whole("degraded_ms", None, least=1, most=600_000),
    )
    if options.banner:
        patterns.check("options.banner", options.banner)
    if bool(options.username) != bool(options.password):
        raise OptionError("options.password" if options.username else "options.username", "is missing: give both")
    if options.username and options.way == "none":
        raise OptionError("options.security", "must be starttls or tls: a password is not sent in clear")
    fields.end()
    return options


async def run(options: Options, deadline: float, context: ProbeContext) -> Outcome:
    started = asyncio.get_running_loop().time()
    try:
        connection = await context.network.tcp.dial(options.host, options.port, options.ip_version, deadline)
    except NetError as error:
        return Outcome.failed(error)
    facts: Facts = connection.facts()
    stream = Stream(connection.sock, host_port(connection.address, options.port))
    try:
        ends = await _talk(options, stream, deadline, context, facts)
        latency_ms = (asyncio.get_running_loop().time() - started) * 1000
        await _good_bye(stream, deadline)
    except NetError as error:
        return Outcome.failed(error, facts)
    finally:
        stream.close()
    return judge.first(
        _banner(facts["banner"], options.banner, facts),
        *judge.failed(options.assertions, latency_ms, facts, context.now_ms),
        ends,
        judge.slow(latency_ms, options.degraded_ms, facts),
        facts=facts,
    )


async def _talk(options: Options, stream: Stream, deadline: float, context: ProbeContext, facts: Facts) -> Outcome | None:
    """Perform the SMTP dialogue. Raises NetError; returns an outcome if a certificate expires soon."""
    ends: Outcome | None = None
    if options.way == "tls":
        _, ends = await secured(stream, options.host, options.tls, context, deadline, facts)
    lines = Lines(stream, deadline)
    facts["banner"], extensions = await greet_smtp(lines, options.ehlo_name)
    if options.way == "starttls":
        await starttls_smtp(lines, extensions)
        ensure_drained(lines)
        _, ends = await secured(stream, options.host, options.tls, context, deadline, facts)
        extensions = await ehlo(lines, options.ehlo_name)
    facts["extensions"] = extensions[:50]
    if options.username:
        await _sign_in(lines, options, extensions)
    return ends


async def _good_bye(stream: Stream, deadline: float) -> None:
    """Send QUIT. The response is ignored and does not count towards the latency."""
    lines = Lines(stream, min(deadline, asyncio.get_running_loop().time() + _GOOD_BYE_S))
    with contextlib.suppress(NetError):
        await lines.say("QUIT")
        await lines.reply()


async def _sign_in(lines: Lines, options: Options, extensions: list[str]) -> None:
    """Authenticate by AUTH PLAIN (RFC 4616), or by LOGIN if PLAIN is not offered. Raises NetError `auth_failed`."""
    offered = next((extension.split()[1:] for extension in extensions if extension.startswith("AUTH ")), [])
    if "PLAIN" in offered or "LOGIN" not in offered:
        token = base64.b64encode(f"\0{options.username}\0{options.password}".encode()).decode()
        await lines.say(f"AUTH PLAIN {token}")
    else:
        await lines.say("AUTH LOGIN")
        for secret in (options.username, options.password):
            code, _ = await lines.reply()
            if code != 334:
                break
            await lines.say(base64.b64encode(secret.encode()).decode())
    code, texts = await lines.reply()
    if code != 235:
        raise NetError(
            "auth_failed", f"the server answers the sign-in of {options.username} with {code} {' '.join(texts)}".rstrip()
        )


def _banner(banner: str, wanted: str, facts: Facts) -> Outcome | None:
    if not wanted or patterns.compiled(wanted).search(banner):
        return None
    return Outcome.because(Reason.BANNER_MISMATCH, f"[banner] ({banner}) matches {wanted!r}", facts)


def propose(typed: str) -> str | None:
    scheme, authority = authority_of(typed)
    if scheme not in ("", "smtp", "smtps"):
        return None
    try:
        host, port = endpoint(authority, 465 if scheme == "smtps" else 25)
    except OptionError:
        return None
    if not scheme and port not in (465, 587, 2525) and not host.startswith(("mail.", "smtp.", "mx")):
        return None
    return host_port(host, port)


FIELDS = (
    OptionField(
        "security", "Security", "choice", "By port: TLS on 465, STARTTLS on 587, none elsewhere.", tuple(_SECURITY.items())
    ),
    OptionField("banner", "Banner matches", "text", "A pattern (RE2) for the text of the greeting."),
    OptionField("username", "User name", "text", "Signs in, and sends nothing."),
    OptionField("password", "Password", "text", "Stored encrypted."),
    OptionField("ehlo_name", "Name in EHLO", "text"),
    conditions.option_field(ASSERTABLE_FACTS, "[extensions] contains PIPELINING"),
    *TRUST_FIELDS,
    IP_VERSION,
)

KIND = Kind(
    name="smtp",
    title="SMTP",
    parse=parse,
    run=run,
    asks="Mail server",
    proves="The mail server greets, speaks EHLO, offers TLS with a good certificate and takes a sign-in. No mail is sent.",
    propose=propose,
    example=("mail.shop.example:587", {"security": "starttls", "banner": "^mail\\.shop\\.example"}),
    option_fields=FIELDS,
    secret_options=("password", "client_key"),
)
