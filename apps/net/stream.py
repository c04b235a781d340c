"""A byte stream over a connected TCP socket that can be upgraded to TLS at any time; every wait has a deadline.

TLS handshakes accept every certificate, however expired, untrusted or weak, so that it can be reported. Whether it
should be trusted is decided afterwards, by `chains`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from apps.net.errors import NetError
from apps.net.hosts import literal
from apps.net.tls_alerts import handshake_error

T = TypeVar("T")

_READ = 16_384
_HANDSHAKE_BYTES = 256_000
"""More than any handshake needs; limits a server that sends data without end."""


@dataclass(frozen=True)
class Trust:
    """The trusted authorities and the client certificate of a TLS client, all as PEM texts.

    Empty `roots` mean the public authorities.
    """

    roots: str = ""
    certificate: str = ""
    key: str = ""


PUBLIC = Trust()
"""The public authorities and no client certificate."""


@dataclass(frozen=True)
class Handshake:
    """What was learned from a completed TLS handshake."""

    protocol: str
    """In OpenSSL's spelling, such as `TLSv1.3`."""
    cipher: str
    chain: tuple[x509.Certificate, ...]
    """The presented chain, leaf first."""
    faults: tuple[tuple[int, int], ...]
    """(X509_V_ERR_*, depth in the chain) of each verification error of OpenSSL."""
    staple: bytes
    """The stapled OCSP response in DER; empty if there was none."""
    asks_for_certificate: bool
    """Whether the server requested a client certificate."""
    took_ms: float


class Stream:
    """A connection with deadlines; owns its socket. Times `until` are on the loop's clock."""

    def __init__(self, sock: socket.socket, where: str) -> None:
        self._sock = sock
        self._where = where
        self._tls: SSL.Connection | None = None

    def close(self) -> None:
        self._sock.close()

    async def send(self, data: bytes, until: float) -> None:
        """Send all of `data`. Raises NetError if the connection breaks or the deadline passes."""
        loop = asyncio.get_running_loop()
        if self._tls is not None:
            self._tls.sendall(data)
            data = _drained(self._tls)
        await self._within(loop.sock_sendall(self._sock, data), until)

    async def receive(self, until: float) -> bytes:
        """Return the next bytes, or nothing at the end of the stream. Raises NetError."""
        while self._tls is not None:
            try:
                return self._tls.recv(_READ)
            except SSL.WantReadError:
                if not await self._fed(self._tls, until):
                    return b""
            except SSL.ZeroReturnError:
                return b""
            except SSL.Error as error:
                raise refusal(error, self._where) from error
        return await self._received(until)

    async def secure(self, name: str, trust: Trust, until: float) -> Handshake:
        """Upgrade to TLS; `name` is sent as SNI if it is not an address. Raises NetError if the handshake fails."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        seen = _Seen()
        tls = SSL.Connection(_context(trust), None)
        tls.set_verify(SSL.VERIFY_PEER, seen.on_certificate)
        tls.set_info_callback(seen.on_state)
        tls.set_app_data(seen)
        if literal(name) is None:
            tls.set_tlsext_host_name(name.encode())
        tls.request_ocsp()
        tls.set_connect_state()
        taken = 0
        while True:
            try:
                tls.do_handshake()
                break
            except SSL.WantReadError:
                taken += await self._answered(tls, seen, until)
                if taken > _HANDSHAKE_BYTES:
                    raise NetError("tls_handshake", f"{self._where} sent {taken} bytes without an end to the handshake") from None
            except SSL.Error as error:
                await self._flushed(tls, until)  # send our TLS alert
                failure = refusal(error, self._where)
                if seen.is_asked and failure.code == "tls_handshake":
                    failure = _client_certificate_required(self._where, failure.message)
                raise failure from error
        await self._flushed(tls, until)
        self._tls = tls
        return Handshake(
            protocol=tls.get_protocol_version_name(),
            cipher=tls.get_cipher_name() or "",
            chain=tuple(tls.get_peer_cert_chain(as_cryptography=True) or ()),
            faults=tuple(seen.faults),
            staple=seen.staple,
            asks_for_certificate=seen.is_asked,
            took_ms=(loop.time() - started) * 1000,
        )

    async def _answered(self, tls: SSL.Connection, seen: _Seen, until: float) -> int:
        """Send pending handshake data and read the server's next data; return the number of bytes read."""
        await self._flushed(tls, until)
        try:
            taken = await self._fed(tls, until)
        except NetError as error:
            if error.code == "read_timeout":
                raise NetError("tls_handshake", f"the TLS handshake with {self._where} was not finished in time") from error
            raise
        if not taken and seen.is_asked:
            raise _client_certificate_required(self._where, "it closed the connection")
        if not taken:
            raise NetError("tls_handshake", f"{self._where} closed the connection during the TLS handshake")
        return taken

    async def _flushed(self, tls: SSL.Connection, until: float) -> None:
        """Send what OpenSSL has ready to be sent."""
        data = _drained(tls)
        if data:
            await self._within(asyncio.get_running_loop().sock_sendall(self._sock, data), until)

    async def _fed(self, tls: SSL.Connection, until: float) -> int:
        """Read from the socket into OpenSSL; return the number of bytes, 0 at the end of the stream."""
        data = await self._received(until)
        if data:
            tls.bio_write(data)
        return len(data)

    async def _received(self, until: float) -> bytes:
        """Read from the socket. Raises NetError if the deadline has passed.

        Yields and checks the deadline first: data that is already available is read without waiting, so a server that
        never stops sending would otherwise block the event loop beyond the deadline.
        """
        await asyncio.sleep(0)
        if asyncio.get_running_loop().time() >= until:
            raise NetError("read_timeout", f"{self._where} did not come to an end in time")
        return await self._within(asyncio.get_running_loop().sock_recv(self._sock, _READ), until)

    async def _within(self, waiting: Awaitable[T], until: float) -> T:
        try:
            async with asyncio.timeout_at(until):
                return await waiting
        except TimeoutError:
            raise NetError("read_timeout", f"{self._where} did not answer in time") from None
        except OSError as error:
            if error.errno in (errno.ECONNRESET, errno.EPIPE):
                raise NetError("connection_reset", f"{self._where} reset the connection") from error
            raise NetError("connection_closed", f"the connection to {self._where} broke: {error.strerror}") from error


@dataclass
class _Seen:
    """What OpenSSL's callbacks record during a handshake."""

    faults: list[tuple[int, int]] = field(default_factory=list)
    staple: bytes = b""
    is_asked: bool = False
    """Whether the server requested a client certificate."""

    def on_state(self, tls: SSL.Connection, _where: int, _code: int) -> None:
        if b"certificate request" in tls.get_state_string():
            self.is_asked = True

    def on_certificate(self, _tls: Any, _certificate: Any, fault: int, depth: int, _ok: int) -> bool:
        if fault and (fault, depth) not in self.faults:
            self.faults.append((fault, depth))
        return True


def _on_staple(tls: SSL.Connection, staple: bytes, _data: Any) -> bool:
    tls.get_app_data().staple = staple
    return True


@lru_cache(maxsize=64)
def _context(trust: Trust) -> SSL.Context:
    """Return the OpenSSL context for `trust`; cached, because parsing the public authorities takes 20 ms."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    # Accept old protocols and weak ciphers, so that they can be reported.
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_ocsp_client_callback(_on_staple)
    if trust.roots:
        store = crypto.X509Store() if (known := context.get_cert_store()) is None else known
        for certificate in x509.load_pem_x509_certificates(trust.roots.encode()):
            store.add_cert(crypto.X509.from_cryptography(certificate))
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)  # an intermediate may be a root, as in libcurl
    else:
        context.load_verify_locations(certifi.where())
    if trust.certificate:
        for place, certificate in enumerate(x509.load_pem_x509_certificates(trust.certificate.encode())):
            (context.add_extra_chain_cert if place else context.use_certificate)(certificate)
        context.use_privatekey(load_pem_private_key(trust.key.encode(), None))  # type: ignore[arg-type]  # OpenSSL refuses others
    return context


def _drained(tls: SSL.Connection) -> bytes:
    """Return the encrypted bytes that OpenSSL has ready to be sent."""
    parts = []
    while True:
        try:
            parts.append(tls.bio_read(_READ))
        except SSL.WantReadError:
            return b"".join(parts)


def _said(error: SSL.Error) -> str:
    """Return OpenSSL's error messages as text."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(str(reason[-1]) for reason in reasons) or "no reason given"


def _client_certificate_required(where: str, said: str) -> NetError:
    return NetError("tls_client_cert", f"{where} asks for a client certificate ({said})")


def refusal(error: SSL.Error, where: str) -> NetError:
    """Return the NetError for an OpenSSL error during or right after a handshake."""
    return handshake_error(_said(error), where)
