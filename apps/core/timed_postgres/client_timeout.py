"""Client-side timeouts for a database that hangs: it neither answers nor refuses, and its own timeouts do not fire.

A process without such a timeout waits forever, which the pipeline may do and the web server may not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import ceil
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

PAUSE_S = 1.0
"""Seconds between two connection attempts while the server hangs."""
_of_block: ContextVar[float | None] = ContextVar("of_block", default=None)
_of_process: list[float] = []


def set_process_timeout(seconds: float) -> None:
    """Set the timeout for all threads of this process: a statement without an answer for so long raises
    OperationalError.

    It should exceed the server's own `statement_timeout`, whose error says more.
    """
    _of_process[:] = [seconds]


@contextmanager
def client_timeout(seconds: float) -> Iterator[None]:
    """Set a timeout for the statements of a block that has a fallback. A short one also ends merely slow statements."""
    token = _of_block.set(seconds)
    try:
        yield
    finally:
        _of_block.reset(token)


def _patience_s() -> float | None:
    seconds = _of_block.get()
    return seconds if seconds is not None or not _of_process else _of_process[0]


class CircuitBreaker:
    """A circuit breaker: after a timeout one thread at a time tries to connect, and the others fail at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_try: float | None = None
        self._lock = threading.Lock()

    def close(self, pause_s: float = PAUSE_S) -> None:
        """Refuse connection attempts for `pause_s` seconds; after that allow one at a time."""
        self._next_try = self._clock() + pause_s

    def connected(self, connect: Callable[[int], Any], longest_s: int) -> Any:
        """Return what `connect` returns, called with its timeout in seconds. Raises psycopg.OperationalError."""
        with self._lock:
            if self._next_try is not None:
                if self._clock() < self._next_try:
                    raise psycopg.OperationalError("no connection is tried: the server did not answer just now")
                self._next_try = self._clock() + longest_s + PAUSE_S
        try:
            found = connect(longest_s)
        except psycopg.errors.ConnectionTimeout:
            self.close()
            raise
        except psycopg.OperationalError:
            self._next_try = None  # the server refuses at once: no thread would be held
            raise
        self._next_try = None
        return found


_gate = CircuitBreaker()


def connected(connect: Callable[[int], Any], longest_s: int) -> Any:
    """Return a new connection, made within the timeout of the block or process. Raises psycopg.OperationalError."""
    seconds = _patience_s()
    if seconds is None:
        return connect(longest_s)
    return _gate.connected(connect, min(longest_s, max(2, ceil(seconds))))  # libpq takes whole seconds, at least two


class TimeoutConnection(psycopg.Connection[Any]):
    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        seconds = _patience_s() if timeout is None else timeout
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.OperationalError as error:
            if seconds is None or self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()  # a late answer would be taken for the next statement's
            # With a block's short timeout the server may only be slow: then the next attempt may connect at once.
            _gate.close(PAUSE_S if _of_block.get() is None else 0.0)
            raise psycopg.OperationalError(f"the connection is given up: no answer for {seconds:g} s") from error
