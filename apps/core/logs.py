"""How logs read while a server is away, or somebody knocks with nonsense: one line tells, a hundred tracebacks hide it."""

from __future__ import annotations

import logging

from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError

QUIET_S = 10.0


class OneLineOutage(logging.Filter):
    """One line from each logger, at most every ten seconds, of a lost database connection or a suspicious request.

    Everything else passes as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (OperationalError, InterfaceError)) and "connection" in str(error):
            words = "the database is away: %s"
        elif isinstance(error, SuspiciousOperation) or record.name.startswith("django.security"):
            words = "a request was refused: %s"
            error = error or SuspiciousOperation(record.getMessage())
        else:
            return True
        last = self._told.get((record.name, words))
        if last is not None and record.created - last < QUIET_S:
            return False
        self._told[record.name, words] = record.created
        record.msg, record.args = words, (str(error).partition("\n")[0][:300],)
        record.exc_info = record.exc_text = None
        return True
