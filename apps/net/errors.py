"""What can go wrong between us and a target, as values. The codes are those of the closed reason list."""

from __future__ import annotations


class NetError(Exception):
    """A failed exchange. `code` is a reason code, `message` a sentence with the actual figures."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class BadHostError(ValueError):
    """A host that can never be looked up or connected to."""
