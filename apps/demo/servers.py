"""The demo's targets beside its web server, all on loopback: a DNS, an SMTP and a TLS server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import dns.exception
import dns.message
import dns.rdatatype
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

ZONE = {"A": ["192.0.2.10", "192.0.2.11"], "MX": ["10 mail.shop.example."], "TXT": ['"v=spf1 mx -all"']}
"""The DNS records that are served, whatever the name; the demo's check asks for `shop.example`."""
_VALID_DAYS = 60


@dataclass(frozen=True)
class Places:
    """URL and ports of the demo's targets. `ca` is the certificate of the CA of the TLS server, as PEM."""

    url: str
    dns: int = 1
    smtp: int = 1
    tls: int = 1
    ca: str = ""


async def open_all(url: str, now: dt.datetime) -> tuple[Places, list[asyncio.AbstractServer], asyncio.DatagramTransport]:
    """Start the servers on free ports. The caller closes them."""
    loop = asyncio.get_running_loop()
    context, ca = _certified(now)
    names, _ = await loop.create_datagram_endpoint(_Names, local_addr=("127.0.0.1", 0))
    mail = await asyncio.start_server(_mail, "127.0.0.1", 0)
    secure = await asyncio.start_server(_nothing, "127.0.0.1", 0, ssl=context)
    places = Places(url, names.get_extra_info("sockname")[1], _port(mail), _port(secure), ca)
    return places, [mail, secure], names


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


class _Names(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        with contextlib.suppress(dns.exception.DNSException, ValueError):
            query = dns.message.from_wire(data)
            answer = dns.message.make_response(query, recursion_available=True)
            for asked in query.question:
                kind = dns.rdatatype.to_text(asked.rdtype)
                if kind in ZONE:
                    answer.answer.append(dns.rrset.from_text(asked.name, 300, "IN", kind, *ZONE[kind]))
            self._transport.sendto(answer.to_wire(), peer)


async def _mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve as much of SMTP (RFC 5321) as a check of kind `smtp` needs."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
        async with asyncio.timeout(10):
            writer.write(b"220 mail.shop.example ESMTP demo\r\n")
            while line := (await reader.readuntil(b"\r\n")).upper():
                if line.startswith(b"EHLO"):
                    writer.write(b"250-mail.shop.example\r\n250-PIPELINING\r\n250 SIZE 10485760\r\n")
                elif line.startswith(b"QUIT"):
                    writer.write(b"221 Bye\r\n")
                    break
                else:
                    writer.write(b"502 Only looked at\r\n")
            await writer.drain()
    writer.close()


async def _nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(10):
            await reader.read(1)
    writer.close()


def _certified(now: dt.datetime) -> tuple[ssl.SSLContext, str]:
    """Return a TLS context with a new certificate for 127.0.0.1, and the certificate of its new CA as PEM."""
    authority, authority_key = _issued("GoUpTime demo authority", None, now)
    certificate, key = _issued("127.0.0.1", (authority, authority_key), now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.pem"
        file.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
        )
        context.load_cert_chain(file)
    return context, authority.public_bytes(Encoding.PEM).decode()


def _issued(
    name: str, by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None, now: dt.datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = by[0].subject if by else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=_VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by is not None:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(by[1] if by else key, hashes.SHA256()), key
