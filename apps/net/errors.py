"""Exceptions of this package. Their codes are those of the closed list in `apps.probes.reasons`."""

from __future__ import annotations


class NetError(Exception):
    """A failed network exchange. `code` is a reason code, `message` a sentence that gives the actual values."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class BadHostError(ValueError):
    """A host name or address that is invalid, so that it can neither be resolved nor connected to."""
