"""A presented certificate as facts. Parsing costs more than a handshake's share of Python, so leaves are remembered."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa


def describe(chain: list[str]) -> dict[str, Any] | None:
    """Facts of the leaf of a PEM chain (leaf first), or None when nothing was presented or it cannot be read."""
    if not chain:
        return None
    leaf = _leaf(chain[0])
    return {**leaf, "chain": len(chain)} if leaf else None


@lru_cache(maxsize=4096)
def _leaf(pem: str) -> dict[str, Any] | None:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        return {
            "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
            "subject": certificate.subject.rfc4514_string(),
            "issuer": certificate.issuer.rfc4514_string(),
            "names": _names(certificate),
            "not_before": int(certificate.not_valid_before_utc.timestamp() * 1000),
            "not_after": int(certificate.not_valid_after_utc.timestamp() * 1000),
            "key": _key(certificate),
        }
    except ValueError:
        return None


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses][:50]


def _key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.removeprefix("_").removesuffix("PublicKey")
