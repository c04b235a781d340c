"""PostgreSQL array literals as text: psycopg's adaptation of lists, value by value, takes longer than the statement."""

from __future__ import annotations

import uuid
from collections.abc import Iterable


def array_of(values: Iterable[int | float | uuid.UUID | None]) -> str:
    """Return the literal of a one-dimensional array of numbers or UUIDs, which need no quotes (PostgreSQL, 8.15.2)."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
