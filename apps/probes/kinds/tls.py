"""`tls`: a server presents a certificate that clients accept.

Proves the chain, the name, the dates, the strength of keys and protocol, and the status in a stapled OCSP response;
also after STARTTLS. Cannot prove that the service answers, and does not query authorities for revocation: only stapled
responses are used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.net.errors import NetError
from apps.net.hosts import host_port
from apps.net.resolver import Family
from apps.net.stream import Stream
from apps.probes import conditions, judge
from apps.probes.contract import (
    IP_VERSION,
    Facts,
    Kind,
    OptionError,
    OptionField,
    Outcome,
    ProbeContext,
    RawOptions,
    notice_change,
    stored_fields,
)
from apps.probes.dialogue import PORTS, STARTTLS
from apps.probes.reasons import Reason
from apps.probes.targets import authority_of, endpoint
from apps.probes.trust import PROTOCOLS, TRUST_FIELDS, TrustOptions, accepted, secured

ASSERTABLE_FACTS = (
    "latency", "dns", "connect", "tls", "address", "protocol", "cipher", "ocsp", "certificate.days", "certificate.issuer",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    host: str
    port: int
    starttls: str
    server_name: str
    min_protocol: str
    issuer: str
    notice_change: bool
    assertions: tuple[str, ...]
    tls: TrustOptions
    ip_version: Family
    degraded_ms: int | None

    def stored(self) -> dict[str, Any]:
        return stored_fields(self, without=("host", "port", "degraded_ms"))


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    """Parse and validate; the target is `host` or `host:port`. Raises OptionError for `target` or an option.

    The default port depends on the option `starttls`.
    """
    fields = RawOptions(raw)
    starttls = fields.choice("starttls", "", tuple(PORTS))
    host, port = endpoint(target, PORTS[starttls])
    options = Options(
        host=host,
        port=port,
        starttls=starttls,
        server_name=fields.host("server_name"),
        min_protocol=fields.choice("min_protocol", "TLSv1.2", PROTOCOLS),
        issuer=fields.text("issuer", limit=300),
        notice_change=fields.flag("notice_change", False),
        assertions=conditions.read(fields, ASSERTABLE_FACTS),
        tls=TrustOptions.read(fields),
        ip_version=fields.family(),
        degraded_ms=fields.whole("degraded_ms", None, least=1, most=600_000),
    )
    fields.end()
    return options


async def run(options: Options, deadline: float, context: ProbeContext) -> Outcome:
    started = asyncio.get_running_loop().time()
    facts: Facts = {}
    try:
        connection = await context.network.tcp.dial(options.host, options.port, options.ip_version, deadline)
    except NetError as error:
        return Outcome.failed(error)
    facts |= connection.facts()
    stream = Stream(connection.sock, host_port(connection.address, options.port))
    name = options.server_name or options.host
    try:
        if options.starttls:
            await STARTTLS[options.starttls](stream, deadline)
        handshake, ends = await secured(stream, name, options.tls, context, deadline, facts, least=options.min_protocol)
        latency_ms = (asyncio.get_running_loop().time() - started) * 1000
        if handshake.asks_for_certificate and handshake.protocol == "TLSv1.3":
            await accepted(stream, deadline)
    except NetError as error:
        return Outcome.failed(error, facts)
    finally:
        stream.close()
    certificate = facts["certificate"]
    return judge.first(
        judge.contains("certificate.issuer", certificate["issuer"] if certificate else "", options.issuer, facts),
        _changed(options, certificate, context, facts),
        *judge.failed(options.assertions, latency_ms, facts, context.now_ms),
        ends,
        judge.slow(latency_ms, options.degraded_ms, facts),
        facts=facts,
    )


def _changed(options: Options, certificate: Facts | None, context: ProbeContext, facts: Facts) -> Outcome | None:
    """Return a degraded outcome if the leaf certificate differs from the baseline."""
    if not options.notice_change or not certificate:
        return None
    facts["baseline"] = {"fingerprint": certificate["fingerprint"]}
    before = context.baseline.get("fingerprint")
    if before in (None, certificate["fingerprint"]):
        return None
    message = f"[certificate.fingerprint] ({certificate['fingerprint'][:16]}…) == {before[:16]}…"
    return Outcome.because(Reason.TLS_CERT_CHANGED, message, facts)


def propose(typed: str) -> str | None:
    scheme, authority = authority_of(typed)
    if scheme not in ("", "https"):
        return None
    try:
        host, port = endpoint(authority, 443)
    except OptionError:
        return None
    return (
        host if port == 443 else host_port(host, port) if scheme == "https" or port in (8443, 465, 636, 993, 995, 853) else None
    )


_STARTTLS_NAMES = {
    "": "TLS from the first byte", "smtp": "SMTP", "imap": "IMAP", "pop3": "POP3", "ldap": "LDAP", "postgres": "PostgreSQL",
}  # fmt: skip
FIELDS = (
    OptionField(
        "starttls", "STARTTLS", "choice", "Ask for TLS in the protocol's own way first.", tuple(_STARTTLS_NAMES.items())
    ),
    conditions.option_field(ASSERTABLE_FACTS, "[protocol] == TLSv1.3"),
    *TRUST_FIELDS,
    OptionField("min_protocol", "Oldest protocol allowed", "choice", choices=tuple((name, name) for name in PROTOCOLS)),
    OptionField("issuer", "Issuer must contain", "text", "A part of the issuer's name, like Let's Encrypt."),
    notice_change("the certificate changes"),
    OptionField("server_name", "Server name", "text", "Sent as SNI and compared with the certificate, instead of the target."),
    IP_VERSION,
)  # fmt: skip

KIND = Kind(
    name="tls",
    title="TLS certificate",
    parse=parse,
    run=run,
    asks="Host name",
    proves="The server presents a certificate that clients believe: chain, name, dates, keys and protocol.",
    propose=propose,
    example=("mail.shop.example", {"starttls": "imap", "expiry_degraded_days": 30, "notice_change": True}),
    option_fields=FIELDS,
    secret_options=("client_key",),
)
