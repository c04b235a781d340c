"""The normal form of accounts' e-mail addresses, used to store, look up and rate-limit them. No database access."""

from __future__ import annotations

import unicodedata


def normalized_email(typed: str) -> str:
    """Return the address in NFKC and lower case, stripped. Equal results mean the same account."""
    return unicodedata.normalize("NFKC", typed).strip().lower()
