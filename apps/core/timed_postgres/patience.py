"""How long a thread waits for a database that neither answers nor refuses. Where it hangs, its own timeouts are of no use.

A process without patience waits for ever, as the pipeline's may; the web's may not.
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
"""Between two tries of a server that hangs."""
_of_block: ContextVar[float | None] = ContextVar("of_block", default=None)
_of_process: list[float] = []


def be_patient(seconds: float) -> None:
    """From now on every thread of this process gives a statement up that is not answered for so long: OperationalError.

    Longer than the server's `statement_timeout`, which gives the better answer.
    """
    _of_process[:] = [seconds]


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """The same for a block that has something to show instead. Less may be too little for a statement that is only slow."""
    token = _of_block.set(seconds)
    try:
        yield
    finally:
        _of_block.reset(token)


def _patience_s() -> float | None:
    seconds = _of_block.get()
    return seconds if seconds is not None or not _of_process else _of_process[0]


class Gate:
    """After an answer that never came, one thread at a time tries to connect; the others fail at once instead of waiting too."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_try: float | None = None
        self._lock = threading.Lock()

    def close(self, pause_s: float = PAUSE_S) -> None:
        """Nobody tries for so long, and then one at a time."""
        self._next_try = self._clock() + pause_s

    def connected(self, connect: Callable[[int], Any], longest_s: int) -> Any:
        """What `connect` answers, told how many seconds it may take. Raises psycopg.OperationalError."""
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
            self._next_try = None  # it refuses, and quickly
            raise
        self._next_try = None
        return found


_gate = Gate()


def connected(connect: Callable[[int], Any], longest_s: int) -> Any:
    """A connection, within the patience of who asks for it. Raises psycopg.OperationalError."""
    seconds = _patience_s()
    if seconds is None:
        return connect(longest_s)
    return _gate.connected(connect, min(longest_s, max(2, ceil(seconds))))  # libpq knows whole seconds, from two on


class PatientConnection(psycopg.Connection[Any]):
    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        seconds = _patience_s() if timeout is None else timeout
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.OperationalError as error:
            if seconds is None or self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()  # an answer that comes later would be taken for that of the next statement
            # In a block's patience it may have been slow: then the next connection shows that it answers.
            _gate.close(PAUSE_S if _of_block.get() is None else 0.0)
            raise psycopg.OperationalError(f"the connection is given up: no answer for {seconds:g} s") from error
