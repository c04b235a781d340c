"""PostgreSQL's arrays as text: a driver that adapts value by value costs more than the statement."""

from __future__ import annotations

import uuid
from collections.abc import Iterable


def array_of(values: Iterable[int | float | uuid.UUID | None]) -> str:
    """The literal of a one-dimensional array of numbers or UUIDs, which need no quotes (PostgreSQL, 8.15.2)."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
