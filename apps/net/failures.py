"""Map connection failures (errno, libcurl error codes, OpenSSL errors reported by libcurl) to reason codes."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

import pycurl
from cryptography import x509

from apps.net import chains
from apps.net.errors import NetError, length_words
from apps.net.tls_alerts import handshake_error

NEXT_ADDRESS = frozenset({"connect_refused", "connect_timeout", "network_unreachable", "internal"})
"""Codes after which the next address of the host is tried."""
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL})
# CURLE_* codes: invalid HTTP or an unsupported protocol; faults of this worker; faults of the proxy.
_PROTOCOL = frozenset({1, 8, 16, 61, 92, 95, 100})
_OURS = frozenset({2, 3, 27, 43, 77})
_PROXYS = frozenset({5, 7, 97})
_OK = 200


@dataclass(frozen=True)
class Transfer:
    """What is known about a failed transfer, for classifying and describing the failure."""

    where: str
    """Address and port that was connected to."""
    is_ipv6: bool
    is_tls: bool
    certificates: list[str]
    roots: str
    size: int
    """Bytes of the body that were received, decompressed."""
    left_s: float
    """The time limit of the whole transfer."""
    connect_s: float
    """The time limit for connecting, including the TLS handshake."""


def error_from_curl(curl: pycurl.Curl, failure: tuple[int, str], seen: Transfer) -> NetError:
    """Return the error for a libcurl error code and message (https://curl.se/libcurl/c/libcurl-errors.html)."""
    code, text = failure
    where = seen.where
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return _timed_out(curl, seen)
    if code == pycurl.E_COULDNT_CONNECT:
        return connect_failure(curl.getinfo(pycurl.OS_ERRNO), where, is_ipv6=seen.is_ipv6)
    if code == pycurl.E_PEER_FAILED_VERIFICATION:
        # The host name is checked by libcurl after OpenSSL has verified the chain: not in SSL_VERIFYRESULT.
        verified = 62 if "subject name" in text else curl.getinfo(pycurl.SSL_VERIFYRESULT)
        return chains.judge(_loaded(seen.certificates), [verified], seen.roots) or NetError("tls_handshake", text)
    if code == pycurl.E_RECV_ERROR and curl.getinfo(pycurl.APPCONNECT_TIME) and "unexpected eof" in text.lower():
        if curl.getinfo(pycurl.RESPONSE_CODE):  # a server that has sent everything closes TLS with close_notify
            return NetError("truncated_body", f"the connection broke after {seen.size} bytes of the body")
        return NetError("connection_closed", f"{where} closed the connection without an answer")
    if code == pycurl.E_SSL_CONNECT_ERROR or (code in (55, 56) and "SSL" in text):
        return _tls_failure(curl.getinfo(pycurl.OS_ERRNO), text)
    if code in (pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR):
        if curl.getinfo(pycurl.OS_ERRNO) == errno.ECONNRESET or "reset" in text.lower():
            return NetError("connection_reset", f"{where} reset the connection")
        if any(word in text for word in ("chunk", "Too large", "header")):  # libcurl's HTTP parser uses the same code
            return NetError("protocol_error", f"the answer is not valid HTTP: {text}")
        return NetError("connection_closed", f"{where} closed the connection: {text}")
    if code == pycurl.E_GOT_NOTHING:
        return NetError("connection_closed", f"{where} closed the connection without an answer")
    if code == pycurl.E_PARTIAL_FILE:
        return NetError("truncated_body", f"the body ended after {seen.size} bytes, before its announced end")
    if code in _PROTOCOL:
        return NetError("protocol_error", f"the answer is not valid HTTP: {text}")
    if code in _OURS:
        return NetError("internal", text)
    return NetError("protocol_error", f"{text} (libcurl {code})")


def of_proxy(curl: pycurl.Curl, failure: tuple[int, str], seen: Transfer, *, is_tunnelled: bool) -> NetError | None:
    """Return an error if the proxy caused the failure, else None.

    That is the case if it cannot be reached, does not speak its protocol, or refuses to connect to the target.
    """
    code, text = failure
    if code == pycurl.E_COULDNT_CONNECT and curl.getinfo(pycurl.OS_ERRNO):
        refused = connect_failure(curl.getinfo(pycurl.OS_ERRNO), f"the proxy {seen.where}", is_ipv6=seen.is_ipv6)
        return NetError("proxy_failed", refused.message)
    has_begun = curl.getinfo(pycurl.PRETRANSFER_TIME) or (seen.is_tls and curl.getinfo(pycurl.CONNECT_TIME))
    if code == pycurl.E_OPERATION_TIMEDOUT and not has_begun:
        return NetError("proxy_failed", f"the proxy {seen.where} did not connect us within {length_words(seen.connect_s)}")
    has_no_tunnel = is_tunnelled and curl.getinfo(pycurl.HTTP_CONNECTCODE) != _OK
    if has_no_tunnel or code in _PROXYS or "SOCKS" in text or "proxy" in text.lower():
        return NetError("proxy_failed", f"the proxy {seen.where}: {text}")
    return None


def _loaded(pems: list[str]) -> list[x509.Certificate]:
    try:
        return [x509.load_pem_x509_certificate(pem.encode()) for pem in pems]
    except ValueError:  # the error is reported without details of the certificates
        return []


def _timed_out(curl: pycurl.Curl, seen: Transfer) -> NetError:
    where, connect_s = seen.where, seen.connect_s
    if not curl.getinfo(pycurl.CONNECT_TIME):
        return NetError("connect_timeout", f"{where} did not accept a connection within {length_words(connect_s)}")
    if seen.is_tls and not curl.getinfo(pycurl.APPCONNECT_TIME):
        return NetError("tls_handshake", f"the TLS handshake with {where} was not finished within {length_words(connect_s)}")
    return NetError("read_timeout", f"{where} had not answered in full after {length_words(seen.left_s)}")


def more_informative(before: NetError | None, now: NetError) -> NetError:
    """Return the more informative of two errors from different addresses of the same host.

    The first error wins, unless it only says that this worker cannot reach that address (for example, no IPv6 route).
    """
    return now if before is None or before.code in _SAYS_LITTLE else before


_SAYS_LITTLE = frozenset({"internal", "network_unreachable"})


def connect_failure(number: int, where: str, *, is_ipv6: bool) -> NetError:
    """Return the error for an errno of connect(2)."""
    if number in (errno.ENETUNREACH, errno.EADDRNOTAVAIL) and is_ipv6:
        return NetError("internal", f"this probe worker has no IPv6 route, and {where} is an IPv6 address")
    if number == errno.ECONNREFUSED:
        return NetError("connect_refused", f"{where} refused the connection")
    if number == errno.ETIMEDOUT:
        return NetError("connect_timeout", f"{where} did not accept a connection")
    if number == errno.ECONNRESET:
        return NetError("connection_reset", f"{where} reset the connection")
    if number in _UNREACHABLE:
        return NetError("network_unreachable", f"no way to {where}: {os.strerror(number)}")
    return NetError("internal", f"connecting to {where} failed: {os.strerror(number) if number else 'no socket'}")


def _tls_failure(number: int, text: str) -> NetError:
    if number == errno.ECONNRESET or "reset by peer" in text.lower():
        return NetError("connection_reset", "the connection was reset during the TLS handshake")
    return handshake_error(text, "the server")
