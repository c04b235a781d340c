"""Exceptions of this package, and how their messages write lengths of time.

Their codes are those of the closed list in `apps.probes.reasons`.
"""

from __future__ import annotations


def length_words(seconds: float) -> str:
    """Return a length of time for messages: whole milliseconds below a second, else seconds with at most one decimal."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{round(seconds, 1):g} s"


class NetError(Exception):
    """A failed network exchange. `code` is a reason code, `message` a sentence that gives the actual values."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class BadHostError(ValueError):
    """A host name or address that is invalid, so that it can neither be resolved nor connected to."""
