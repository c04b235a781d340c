"""The exception for invalid messages."""

from __future__ import annotations


class WireError(ValueError):
    """An invalid message or row; the text says why."""
