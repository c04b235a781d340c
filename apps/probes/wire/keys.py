"""A region's key and what is derived from it: core and worker share one key per region.

Sealing (secrets in jobs) and signing (results) use keys of their own, derived by HKDF (RFC 5869).
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
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def key_id(region_key: str) -> str:
    """Names a key without telling it."""
    return hashlib.sha256(region_key.encode()).hexdigest()[:16]


@lru_cache(maxsize=1024)
def derive_key(region_key: str, use: Literal["seal", "sign"]) -> bytes:
    secret = base64.urlsafe_b64decode(region_key)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"goruptime/{use}/1".encode()).derive(secret)


def seal(secrets: Mapping[str, Any], *, region_key: str, check: str, revision: int, region: str) -> str:
    """Secret options for one revision of a check in one region, AES-256-GCM, base64."""
    nonce = os.urandom(12)
    text = json.dumps(secrets).encode()
    sealed = AESGCM(derive_key(region_key, "seal")).encrypt(nonce, text, _associated_data(check, revision, region))
    return base64.b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, region_key: str, check: str, revision: int, region: str) -> dict[str, Any]:
    """Raises WireError when the seal is for another check, revision or region, or was made with another key."""
    try:
        raw = base64.b64decode(sealed, validate=True)
        text = AESGCM(derive_key(region_key, "seal")).decrypt(raw[:12], raw[12:], _associated_data(check, revision, region))
    except (InvalidTag, ValueError) as error:
        raise WireError("the sealed options cannot be opened with this region's key") from error
    opened: dict[str, Any] = json.loads(text)
    return opened


def _associated_data(check: str, revision: int, region: str) -> bytes:
    return f"{check}|{revision}|{region}".encode()
