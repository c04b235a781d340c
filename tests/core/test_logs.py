from __future__ import annotations

import logging
import sys

import pytest
from django.db import OperationalError

from apps.core.logs import QUIET_S, OneLineOutage


def record(error: Exception, at: float, name: str = "beat") -> logging.LogRecord:
    try:
        raise error
    except type(error):
        made = logging.LogRecord(name, logging.ERROR, "x.py", 1, "it failed: %s", ("badly",), sys.exc_info())
    made.created = at
    return made


AWAY = "connection failed: connection to server on socket failed\n\tIs the server running?"


def test_an_outage_is_one_line_of_a_logger_now_and_then() -> None:
    outages = OneLineOutage()
    first = record(OperationalError(AWAY), 100.0)
    assert outages.filter(first)
    assert first.getMessage() == "the database is away: connection failed: connection to server on socket failed"
    assert first.exc_info is None
    assert not outages.filter(record(OperationalError(AWAY), 100.0 + QUIET_S - 0.1))
    assert outages.filter(record(OperationalError(AWAY), 100.0, name="core")), "each logger tells it"
    assert outages.filter(record(OperationalError(AWAY), 100.0 + QUIET_S))


@pytest.mark.parametrize("error", [OperationalError("deadlock detected"), ValueError("connection")])
def test_another_failure_keeps_its_traceback(error: Exception) -> None:
    kept = record(error, 100.0)
    assert OneLineOutage().filter(kept)
    assert kept.exc_info
    assert kept.getMessage() == "it failed: badly"
