"""A log filter that turns the tracebacks of a database outage or of suspicious requests into single lines."""

from __future__ import annotations

import logging

from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError

QUIET_S = 10.0


class OneLineOutage(logging.Filter):
    """Logs a lost database connection or a suspicious request as one line, at most every ten seconds per logger.

    All other records pass unchanged.
    """

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (OperationalError, InterfaceError)) and "connection" in str(error):
            words = "the database is away: %s"
        elif isinstance(error, SuspiciousOperation) or record.name.startswith("django.security"):
            words = "a request was refused: %s"
            error = error or SuspiciousOperation(record.getMessage())
        else:
            return True
        last = self._logged_at.get((record.name, words))
        if last is not None and record.created - last < QUIET_S:
            return False
        self._logged_at[record.name, words] = record.created
        record.msg, record.args = words, (str(error).partition("\n")[0][:300],)
        record.exc_info = record.exc_text = None
        return True
