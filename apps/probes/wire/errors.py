"""What a message that cannot be taken raises."""

from __future__ import annotations


class WireError(ValueError):
    """A message or row that cannot be taken; the text says why."""
