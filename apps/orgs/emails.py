"""E-mail addresses of accounts: one normal form, by which they are stored, counted and looked up. Pure."""

from __future__ import annotations

import unicodedata


def normalized_email(typed: str) -> str:
    """NFKC, lower case, without blanks around it. Two addresses are the same account exactly when this is the same."""
    return unicodedata.normalize("NFKC", typed).strip().lower()
