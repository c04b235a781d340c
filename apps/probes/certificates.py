"""Describe presented certificates as facts. Parsing is expensive compared with a handshake, so it is cached by PEM."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa


def describe(chain: list[str]) -> dict[str, Any] | None:
    """Return facts about the leaf of a PEM chain (leaf first), or None if there is none or it cannot be parsed.

    `issuers` lists the subject and the end of validity (epoch milliseconds) of each further certificate presented.
    """
    leaf = _leaf(chain[0]) if chain else None
    if leaf is None:
        return None
    behind = [facts for pem in chain[1:_MAX_ISSUERS] if (facts := _leaf(pem))]
    issuers = [{"subject": facts["subject"], "not_after": facts["not_after"]} for facts in behind]
    return {**leaf, "chain": len(chain), "issuers": issuers}


def first_to_expire(certificate: dict[str, Any], now_ms: int) -> tuple[int, str]:
    """Return when the first certificate of a chain's facts expires, and its subject (empty if it is the leaf).

    Issuers that have already expired are ignored: the handshake succeeded without them.
    """
    ends = [(issuer["not_after"], issuer["subject"]) for issuer in certificate.get("issuers", ())]
    return min([(certificate["not_after"], ""), *(end for end in ends if end[0] > now_ms)])


_MAX_ISSUERS = 10


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
