"""Certificate authorities and certificates for the probe tests, valid and faulty ones."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def name(common: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


@dataclass(frozen=True)
class Pair:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: Any
    chain: tuple[x509.Certificate, ...] = ()
    """The certificates that the server presents after its own."""

    @property
    def pem(self) -> str:
        return "".join(c.public_bytes(Encoding.PEM).decode() for c in (self.certificate, *self.chain))

    @property
    def key_pem(self) -> str:
        return str(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())

    def server(self, **options: Any) -> ssl.SSLContext:
        """Return a server context that presents this certificate.

        `least` and `most` are TLS versions; `asks` is the PEM of the authority whose client certificates it requires.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = options.get("least", ssl.TLSVersion.TLSv1_2)
        if "most" in options:
            context.maximum_version = options["most"]
        if "asks" in options:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=options["asks"])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "all.pem")
            path.write_text(self.key_pem + self.pem)
            context.load_cert_chain(path)
        return context


def issued(
    *hosts: str,
    by: Pair | None = None,
    common: str = "leaf",
    organization: str = "",
    starts: datetime.datetime = NOW - DAY,
    ends: datetime.datetime = NOW + 60 * DAY,
    key: Any = None,
    is_authority: bool = False,
    fetched_from: str = "",
    chain: tuple[x509.Certificate, ...] = (),
    more: tuple[x509.ExtensionType, ...] = (),
) -> Pair:
    """Issue a certificate for `hosts`, signed by the authority `by` or by itself.

    `fetched_from` is the URL of the issuer's certificate (AIA), `more` are further extensions.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = name(common, organization)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([general(host) for host in hosts]), critical=False)
    if fetched_from:
        place = x509.UniformResourceIdentifier(fetched_from)
        access = x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)])
        builder = builder.add_extension(access, critical=False)
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    return Pair(builder.sign(by.key if by else key, hashes.SHA256()), key, chain)


def general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def weak_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)


ROOT = issued(common="Test Root", organization="Tests Ltd", is_authority=True)
MIDDLE = issued(common="Test Middle", organization="Tests Ltd", is_authority=True, by=ROOT)
STRANGER = issued(common="Stranger", organization="Elsewhere", is_authority=True)
