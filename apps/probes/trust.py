"""The options of every kind that speaks TLS, and what a finished handshake is worth by them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ocsp

from apps.net import chains
from apps.net.errors import NetError
from apps.net.stream import Handshake, Stream, Trust
from apps.probes.certificates import describe, first_to_expire
from apps.probes.contract import Facts, OptionError, OptionField, Outcome, ProbeContext, RawOptions, grouped
from apps.probes.judge import DAY_MS
from apps.probes.reasons import Reason

_SECOND_THOUGHTS_S = 0.3
PROTOCOLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_PEM_LIMIT = 60_000

TRUST_FIELDS = grouped(
    "TLS and certificate",
    OptionField("verify_tls", "Verify the certificate", "flag", "Chain, name, dates and strength."),
    OptionField("expiry_degraded_days", "Degraded when it expires in less than … days", "whole", "0: never."),
    OptionField("expiry_down_days", "Down when it expires in less than … days", "whole", "0: when it has expired."),
    OptionField(
        "ca",
        "Own certificate authority",
        "long",
        "PEM. In place of the public authorities; empty: those, or the worker's own file.",
    ),
    OptionField("client_certificate", "Client certificate", "long", "PEM, with its chain."),
    OptionField("client_key", "Client key", "long", "PEM, without a passphrase. Kept encrypted."),
)
"""Of every kind that speaks TLS; `client_key` belongs to its secret options."""


@dataclass(frozen=True)
class TrustOptions:
    """Flat in the options of a kind, by the names of the fields."""

    verify_tls: bool
    ca: str
    client_certificate: str
    client_key: str
    expiry_degraded_days: int
    expiry_down_days: int

    @classmethod
    def read(cls, fields: RawOptions) -> TrustOptions:
        """Raises OptionError."""
        ca = fields.text("ca", limit=_PEM_LIMIT)
        certificate = fields.text("client_certificate", limit=_PEM_LIMIT)
        key = fields.text("client_key", limit=_PEM_LIMIT)
        if ca:
            _certificates("ca", ca)
        if bool(certificate) != bool(key):
            missing = "client_key" if certificate else "client_certificate"
            raise OptionError(f"options.{missing}", "is missing: a certificate and its key belong together")
        if certificate:
            _ensure_pair(_certificates("client_certificate", certificate)[0], key)
        return cls(
            verify_tls=fields.flag("verify_tls", True),
            ca=ca,
            client_certificate=certificate,
            client_key=key,
            expiry_degraded_days=fields.whole("expiry_degraded_days", 14, least=0, most=3_650) or 0,
            expiry_down_days=fields.whole("expiry_down_days", 0, least=0, most=3_650) or 0,
        )

    def trust(self, roots: str) -> Trust:
        """For a handshake; `roots` are the worker's own."""
        return Trust(self.ca or roots, self.client_certificate, self.client_key)

    def expiry(self, certificate: Facts | None, now_ms: int) -> Outcome | None:
        """Of a chain's facts: down or degraded when a certificate ends too soon. What has ended is the handshake's matter."""
        if certificate is None or not self.verify_tls:
            return None
        ends_ms, issuer = first_to_expire(certificate, now_ms)
        left_ms = ends_ms - now_ms
        for days, verdict in ((self.expiry_down_days, "down"), (self.expiry_degraded_days, "degraded")):
            if days and left_ms < days * DAY_MS:
                whose = f": the intermediate certificate {issuer} ends first" if issuer else ""
                message = f"[certificate.days] ({left_ms / DAY_MS:.1f}) >= {days}{whose}"
                return Outcome.because(Reason.TLS_EXPIRING, message).judged(verdict)
        return None


def _certificates(name: str, text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise OptionError(f"options.{name}", "is not a certificate in PEM") from error


def _ensure_pair(certificate: x509.Certificate, key: str) -> None:
    try:
        private = load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OptionError("options.client_key", "is not a private key in PEM without a passphrase") from error
    if private.public_key() != certificate.public_key():
        raise OptionError("options.client_key", "is not the key of the client certificate")


async def secured(
    stream: Stream, name: str, options: TrustOptions, context: ProbeContext, until: float, facts: Facts, *, least: str = "TLSv1.2"
) -> tuple[Handshake, Outcome | None]:
    """Turn a stream to TLS; `facts` take what was seen. Raises NetError for what is not to be trusted, tells what ends soon."""
    handshake = await stream.secure(name, options.trust(context.network.roots), until)
    facts.setdefault("phases_ms", {})["tls"] = handshake.took_ms
    facts |= facts_of(handshake)
    fault = fault_of(handshake, name, options.ca or context.network.roots, least=least) if options.verify_tls else None
    if fault is not None:
        raise fault
    ends = options.expiry(facts["certificate"], context.now_ms)
    return handshake, ends and ends.seeing(facts)


def facts_of(handshake: Handshake) -> Facts:
    pems = [certificate.public_bytes(Encoding.PEM).decode() for certificate in handshake.chain]
    facts: Facts = {"protocol": handshake.protocol, "cipher": handshake.cipher, "certificate": describe(pems)}
    status = _stapled(handshake.staple)
    return {**facts, "ocsp": status} if status else facts


def fault_of(handshake: Handshake, host: str, roots: str, *, least: str = "TLSv1.2") -> NetError | None:
    """Why this handshake should not be trusted, the gravest thing first; None when nothing speaks against it."""
    if not handshake.chain:
        return NetError("tls_handshake", "the server presented no certificate")
    if _stapled(handshake.staple) == "revoked":
        return NetError("tls_revoked", "the server's own OCSP response says that the certificate was revoked")
    fault = chains.judge(handshake.chain, [code for code, _ in handshake.faults], roots)
    if fault is not None:
        return fault
    if not chains.is_for(handshake.chain[0], host):
        names = (describe([handshake.chain[0].public_bytes(Encoding.PEM).decode()]) or {}).get("names") or ["no name"]
        return NetError("tls_hostname_mismatch", f"the certificate is for {', '.join(names[:5])}, not for {host}")
    weak = chains.weakness(handshake.chain)
    if weak is not None:
        return weak
    if handshake.protocol in PROTOCOLS and PROTOCOLS.index(handshake.protocol) < PROTOCOLS.index(least):
        return NetError("tls_old_protocol", f"[protocol] ({handshake.protocol}) >= {least}")
    return None


def _stapled(staple: bytes) -> str:
    """`good`, `revoked` or `unknown`; nothing without a response that can be read."""
    if not staple:
        return ""
    try:
        response = ocsp.load_der_ocsp_response(staple)
        return response.certificate_status.name.lower() if response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL else ""
    except ValueError:
        return ""


async def accepted(stream: Stream, deadline: float) -> None:
    """In TLS 1.3 a server looks at the client's certificate when the client's side of the handshake is over. Raises NetError."""
    until = min(deadline, asyncio.get_running_loop().time() + _SECOND_THOUGHTS_S)
    try:
        if await stream.receive(until):
            return
    except NetError as error:
        if error.code == "read_timeout":
            return
        if error.code.startswith("tls_"):
            raise
    raise NetError("tls_client_cert", "the server asked for a client certificate, and closed the connection")


async def look_again(
    address: str, port: int, name: str, options: TrustOptions, context: ProbeContext, until: float
) -> NetError | None:
    """Why a handshake with this address should not have come about; None where this one says nothing against it."""
    try:
        connection = await context.network.tcp.dial(address, port, "auto", until)
    except NetError as error:
        return error
    stream = Stream(connection.sock, f"{address}:{port}")
    try:
        handshake, _ = await secured(stream, name, options, context, until, {})
        if handshake.asks_for_certificate and handshake.protocol == "TLSv1.3":
            await accepted(stream, until)
    except NetError as error:
        return error
    finally:
        stream.close()
    return None
