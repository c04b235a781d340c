"""The TLS options that all kinds with TLS share, and the evaluation of a finished handshake by them."""

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
"""How long to wait after a TLS 1.3 handshake for the server to reject our client certificate."""
PROTOCOLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_PEM_LIMIT = 60_000

TRUST_FIELDS = grouped(
    "TLS and certificate",
    OptionField("verify_tls", "Verify the certificate", "flag", "Chain, name, dates and strength."),
    OptionField("expiry_degraded_days", "Degraded when it expires within (days)", "whole", "0: never."),
    OptionField("expiry_down_days", "Down when it expires within (days)", "whole", "0: once it has expired."),
    OptionField(
        "ca",
        "Own certificate authority",
        "long",
        "PEM. In place of the public authorities; empty: those, or the worker's own file.",
    ),
    OptionField("client_certificate", "Client certificate", "long", "PEM, with its chain."),
    OptionField("client_key", "Client key", "long", "PEM, without a passphrase. Stored encrypted."),
)
"""For every kind with TLS; such a kind must list `client_key` in its `secret_options`."""


@dataclass(frozen=True)
class TrustOptions:
    """The TLS options of a check; in the stored options they are not nested."""

    verify_tls: bool
    ca: str
    client_certificate: str
    client_key: str
    expiry_degraded_days: int
    expiry_down_days: int

    @classmethod
    def read(cls, fields: RawOptions) -> TrustOptions:
        """Read and validate the TLS options. Raises OptionError."""
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
        """Return the trust settings for a handshake; `roots` are the worker's own authorities."""
        return Trust(self.ca or roots, self.client_certificate, self.client_key)

    def expiry(self, certificate: Facts | None, now_ms: int) -> Outcome | None:
        """Return a down or degraded outcome if a certificate of the chain expires too soon, else None.

        Certificates that have expired already are reported by the handshake.
        """
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
    """Parse PEM certificates. Raises OptionError for the option `name`."""
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise OptionError(f"options.{name}", "is not a certificate in PEM") from error


def _ensure_pair(certificate: x509.Certificate, key: str) -> None:
    """Raise OptionError unless `key` is the private key of the certificate."""
    try:
        private = load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OptionError("options.client_key", "is not a private key in PEM without a passphrase") from error
    if private.public_key() != certificate.public_key():
        raise OptionError("options.client_key", "is not the key of the client certificate")


async def secured(
    stream: Stream, name: str, options: TrustOptions, context: ProbeContext, until: float, facts: Facts, *, least: str = "TLSv1.2"
) -> tuple[Handshake, Outcome | None]:
    """Upgrade a stream to TLS and evaluate the handshake; what was seen is added to `facts`.

    Raises NetError if the handshake fails or is not trusted. Returns the handshake, and an outcome if a certificate
    expires soon.
    """
    handshake = await stream.secure(name, options.trust(context.network.roots), until)
    facts.setdefault("phases_ms", {})["tls"] = handshake.took_ms
    facts |= facts_of(handshake)
    fault = trust_error(handshake, name, options.ca or context.network.roots, least=least) if options.verify_tls else None
    if fault is not None:
        raise fault
    ends = options.expiry(facts["certificate"], context.now_ms)
    return handshake, ends and ends.seeing(facts)


def facts_of(handshake: Handshake) -> Facts:
    """Return the facts of a handshake."""
    pems = [certificate.public_bytes(Encoding.PEM).decode() for certificate in handshake.chain]
    facts: Facts = {"protocol": handshake.protocol, "cipher": handshake.cipher, "certificate": describe(pems)}
    status = _stapled(handshake.staple)
    return {**facts, "ocsp": status} if status else facts


def trust_error(handshake: Handshake, host: str, roots: str, *, least: str = "TLSv1.2") -> NetError | None:
    """Return the most serious reason not to trust this handshake, or None."""
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
    """Return the stapled OCSP status, `good`, `revoked` or `unknown`; empty without a valid response."""
    if not staple:
        return ""
    try:
        response = ocsp.load_der_ocsp_response(staple)
        return response.certificate_status.name.lower() if response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL else ""
    except ValueError:
        return ""


async def accepted(stream: Stream, deadline: float) -> None:
    """Raise NetError if the server rejects our client certificate.

    In TLS 1.3 the server checks it only after the client has finished the handshake, so wait briefly for a rejection.
    """
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


async def diagnose_handshake(
    address: str, port: int, name: str, options: TrustOptions, context: ProbeContext, until: float
) -> NetError | None:
    """Make another handshake with this address and return the reason not to trust it, or None.

    Used when libcurl's handshake failed without an informative error.
    """
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
