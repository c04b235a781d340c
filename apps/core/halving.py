"""Work on many rows by one statement, although single rows may make it fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError

T = TypeVar("T")


def in_halves(items: Sequence[T], act: Callable[[Sequence[T]], object], refuse: Callable[[T, DatabaseError], None]) -> None:
    """Call `act` on all items; if the database refuses them, on halves, until `refuse` gets each refused item alone.

    Outages of the database raise: they are no fault of an item. `act` undoes its own changes when it raises.
    """
    try:
        act(items)
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError as error:
        if len(items) == 1:
            refuse(items[0], error)
            return
        middle = len(items) // 2
        in_halves(items[:middle], act, refuse)
        in_halves(items[middle:], act, refuse)
