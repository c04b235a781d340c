"""A region's key, which core and workers share, and the keys derived from it.

Sealing (secrets in jobs) and signing (results) use separate keys derived by HKDF (RFC 5869).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from apps.probes.wire.errors import WireError


def new_region_key() -> str:
    """Return a random key of 32 bytes, encoded as URL-safe Base64."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def key_id(region_key: str) -> str:
    """Return an identifier of a key that does not reveal it: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(region_key.encode()).hexdigest()[:16]


@lru_cache(maxsize=1024)
def derive_key(region_key: str, use: Literal["seal", "sign"]) -> bytes:
    """Derive the 32-byte key for one use."""
    secret = base64.urlsafe_b64decode(region_key)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"goruptime/{use}/1".encode()).derive(secret)


def seal(secrets: Mapping[str, Any], *, region_key: str, check: str, revision: int, region: str) -> str:
    """Encrypt secret options for one revision of a check in one region: AES-256-GCM, Base64."""
    nonce = os.urandom(12)
    text = json.dumps(secrets).encode()
    sealed = AESGCM(derive_key(region_key, "seal")).encrypt(nonce, text, _associated_data(check, revision, region))
    return base64.b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, region_key: str, check: str, revision: int, region: str) -> dict[str, Any]:
    """Decrypt secret options. Raises WireError if they were sealed for another check, revision, region or key."""
    try:
        raw = base64.b64decode(sealed, validate=True)
        text = AESGCM(derive_key(region_key, "seal")).decrypt(raw[:12], raw[12:], _associated_data(check, revision, region))
    except (InvalidTag, ValueError) as error:
        raise WireError("the sealed options cannot be opened with this region's key") from error
    opened: dict[str, Any] = json.loads(text)
    return opened


def _associated_data(check: str, revision: int, region: str) -> bytes:
    return f"{check}|{revision}|{region}".encode()
