"""How long a thread waits for a database that neither answers nor refuses. Where it hangs, its own timeouts are of no use."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import ceil
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

_patience_s: ContextVar[float | None] = ContextVar("patience_s", default=None)
_waiting: dict[int, float] = {}
"""Since when, by thread, on the monotonic clock."""


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Within it a statement that is not answered for so long raises OperationalError, and its connection is lost.

    Longer than the server's `statement_timeout`, or a slow statement is taken for a server that hangs.
    """
    token = _patience_s.set(seconds)
    try:
        yield
    finally:
        _patience_s.reset(token)


def waiting_for(seconds: float) -> int:
    """How many threads that have patience have waited for longer than that."""
    over = time.monotonic() - seconds
    return sum(since < over for since in list(_waiting.values()))


@contextmanager
def counted() -> Iterator[None]:
    """A wait of this thread."""
    if _patience_s.get() is None:
        yield
        return
    thread = threading.get_ident()
    _waiting[thread] = time.monotonic()
    try:
        yield
    finally:
        _waiting.pop(thread, None)


def connect_timeout_s(longest: int) -> int:
    """libpq knows whole seconds, from two on."""
    seconds = _patience_s.get()
    return longest if seconds is None else min(longest, max(2, ceil(seconds)))


class PatientConnection(psycopg.Connection[Any]):
    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        seconds = _patience_s.get() if timeout is None else timeout
        try:
            with counted():
                return super().wait(gen, interval, seconds)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()  # an answer that comes later would be taken for that of the next statement
            raise psycopg.OperationalError(f"the connection is given up: no answer for {seconds:g} s") from error
