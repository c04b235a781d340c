"""Evaluate a presented certificate chain: map OpenSSL's verification errors to reason codes and add checks of our own.

Used by every kind that speaks TLS. Pure, except that the list of public authorities is read once.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from apps.net.errors import NetError

# X509_V_ERR_* (openssl/x509_vfy.h), most important first, because only the first match is reported:
# trust in the issuer, validity dates, names, strength.
_FAULTS: dict[int, tuple[str, str]] = {
    23: ("tls_revoked", "the certificate was revoked"),
    18: ("tls_self_signed", "the certificate is self-signed"),
    19: ("tls_unknown_ca", "the chain ends in a certificate authority that is not trusted"),
    20: ("tls_unknown_ca", "the issuer of the certificate is not known"),
    2: ("tls_unknown_ca", "the issuer of the certificate is not known"),
    21: ("tls_unknown_ca", "the issuer of the certificate is not known"),
    24: ("tls_unknown_ca", "a certificate of the chain may not issue others"),
    79: ("tls_unknown_ca", "a certificate of the chain may not issue others"),
    25: ("tls_unknown_ca", "the chain is longer than one of its certificates allows"),
    47: ("tls_unknown_ca", "an issuer of the chain may not vouch for this name"),
    7: ("tls_unknown_ca", "a signature in the chain is not right"),
    9: ("tls_not_yet_valid", "the certificate is not valid yet"),
    10: ("tls_expired", "the certificate has expired"),
    62: ("tls_hostname_mismatch", "the certificate is for another name"),
    64: ("tls_hostname_mismatch", "the certificate is for another address"),
    66: ("tls_weak_key", "the certificate's key is too weak"),
    67: ("tls_weak_key", "a key in the chain is too weak"),
    68: ("tls_weak_key", "a signature in the chain is too weak"),
}
_UNKNOWN_ISSUER = frozenset({2, 20, 21})
_LEAST_RSA, _LEAST_EC = 2048, 224
_PEM_END = "-----END CERTIFICATE-----"


def judge(chain: Sequence[x509.Certificate], faults: Iterable[int], roots: str = "") -> NetError | None:
    """Return the error for the most important of OpenSSL's `faults` (X509_V_ERR_* codes), or None if there are none.

    A code that `_FAULTS` does not list is returned as `tls_handshake`. `roots` are the trusted authorities as PEM;
    empty means the public ones.
    """
    found = set(faults)
    for fault, (code, words) in _FAULTS.items():
        if fault in found:
            if fault in _UNKNOWN_ISSUER and _lacks_a_link(chain, roots):
                return NetError("tls_incomplete_chain", f"the server does not send the certificate of {_short(chain[-1].issuer)}")
            return NetError(code, f"{words} ({_detail(code, chain)})" if chain else words)
    unnamed = sorted(found - {0})
    return NetError("tls_handshake", f"the certificate does not stand OpenSSL's test {unnamed[0]}") if unnamed else None


def weakness(chain: Sequence[x509.Certificate]) -> NetError | None:
    """Return an error for a short or DSA key or an SHA-1 or MD5 signature in the chain, else None.

    Our handshakes accept any strength (security level 0), so OpenSSL does not report these. The signature of a
    self-signed certificate is not checked, because nothing depends on it.
    """
    for place, certificate in enumerate(chain):
        key = certificate.public_key()
        whose = "the certificate's key" if place == 0 else f"the key of {_short(certificate.subject)}"
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA:
            return NetError("tls_weak_key", f"{whose} is RSA with {key.key_size} bits, {_LEAST_RSA} are the least")
        if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < _LEAST_EC:
            return NetError("tls_weak_key", f"{whose} is on a curve of {key.key_size} bits, {_LEAST_EC} are the least")
        if isinstance(key, dsa.DSAPublicKey):
            return NetError("tls_weak_key", f"{whose} is DSA")
        digest = certificate.signature_hash_algorithm
        if certificate.subject != certificate.issuer and isinstance(digest, (hashes.SHA1, hashes.MD5)):
            return NetError("tls_weak_key", f"the signature of {_short(certificate.subject)} is made with {digest.name.upper()}")
    return None


def is_for(leaf: x509.Certificate, host: str) -> bool:
    """Tell whether the certificate is valid for this host name or IP address.

    Follows RFC 9525: only subject alternative names count, and a wildcard stands for exactly one label.
    """
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        wanted = host.lower().removesuffix(".")
        return any(_matches(name.lower().removesuffix("."), wanted) for name in names.get_values_for_type(x509.DNSName))


def _matches(pattern: str, host: str) -> bool:
    if not pattern.startswith("*."):
        return pattern == host
    label, dot, rest = host.partition(".")
    return bool(label and dot) and rest == pattern[2:] and "." in rest


def _lacks_a_link(chain: Sequence[x509.Certificate], roots: str) -> bool:
    """Tell whether the server omitted an intermediate certificate, as opposed to using a root that is not trusted.

    No field says directly whether the issuer of the last presented certificate is an intermediate. We assume that it is
    if the certificate says where to download its issuer (caIssuers, which public authorities always set), or if a
    trusted root belongs to the same organization.
    """
    if not chain or chain[-1].subject == chain[-1].issuer:
        return False
    try:
        access = chain[-1].extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        if any(item.access_method == AuthorityInformationAccessOID.CA_ISSUERS for item in access):
            return True
    except (x509.ExtensionNotFound, ValueError):
        pass
    owner = _organization(chain[-1].issuer)
    return bool(owner) and owner in _owners(roots)


@lru_cache(maxsize=64)
def _owners(roots: str) -> frozenset[str]:
    """Return the organization names of the trusted roots (PEM; empty means the public ones)."""
    text = roots or Path(certifi.where()).read_text()
    owners = set()
    for block in text.split(_PEM_END)[:-1]:
        try:
            with warnings.catch_warnings():  # some old roots have serial numbers that RFC 5280 does not allow
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                certificate = x509.load_pem_x509_certificate(f"{block}{_PEM_END}\n".encode())
        except ValueError:
            continue
        owners.add(_organization(certificate.subject))
    return frozenset(owners - {""})


def _organization(name: x509.Name) -> str:
    """Return the organization in a distinguished name, or an empty string."""
    found = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""


def _short(name: x509.Name) -> str:
    """Return a short name for display: the common name, or the whole distinguished name if there is none."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _detail(code: str, chain: Sequence[x509.Certificate]) -> str:
    leaf = chain[0]
    if code == "tls_expired":
        ended = min(chain, key=lambda certificate: certificate.not_valid_after_utc)
        return f"{_short(ended.subject)} until {ended.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if code == "tls_not_yet_valid":
        begins = max(chain, key=lambda certificate: certificate.not_valid_before_utc)
        return f"{_short(begins.subject)} from {begins.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    return f"{_short(leaf.subject)}, issued by {_short(leaf.issuer)}"
