"""How logs read while a server is away: everyone who asks it fails, and a hundred tracebacks hide the one line that tells."""

from __future__ import annotations

import logging

from django.db import InterfaceError, OperationalError

QUIET_S = 10.0


class OneLineOutage(logging.Filter):
    """Of a lost database connection one line from each logger, at most every ten seconds; everything else passes as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, (OperationalError, InterfaceError)) or "connection" not in str(error):
            return True
        last = self._told.get(record.name)
        if last is not None and record.created - last < QUIET_S:
            return False
        self._told[record.name] = record.created
        record.msg, record.args = "the database is away: %s", (str(error).partition("\n")[0],)
        record.exc_info = record.exc_text = None
        return True
