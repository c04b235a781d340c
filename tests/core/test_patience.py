"""A database that hangs holds a thread for as long as its patience lasts; without one, for ever, as before."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from apps.core.timed_postgres.patience import connect_timeout_s, patience, waiting_for
from tests.conftest import Cast


@pytest.fixture
def own(cast: Cast) -> Iterator[BaseDatabaseWrapper]:
    connection = connections.create_connection("default")
    yield connection
    connection.close()


def asked(connection: BaseDatabaseWrapper, sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_a_statement_without_an_answer_is_given_up_and_the_next_one_asked_anew(own: BaseDatabaseWrapper) -> None:
    server = asked(own, "SELECT pg_backend_pid()")
    began = time.monotonic()
    with patience(0.2), pytest.raises(OperationalError, match="connection is given up: no answer for"):
        asked(own, "SELECT pg_sleep(5)")
    assert 0.2 <= time.monotonic() - began < 2
    own.close_if_unusable_or_obsolete()
    with patience(5):
        assert asked(own, "SELECT pg_backend_pid()") != server


def test_who_waits_is_counted_while_it_lasts(own: BaseDatabaseWrapper) -> None:
    own.ensure_connection()
    seen: list[int] = []

    def look() -> None:
        until = time.monotonic() + 5
        while not (found := waiting_for(0.1)) and time.monotonic() < until:
            time.sleep(0.01)
        seen.append(found)

    other = threading.Thread(target=look)
    other.start()
    with patience(5):
        asked(own, "SELECT pg_sleep(0.5) IS NULL")
    other.join()
    assert (seen, waiting_for(0)) == ([1], 0)


def test_other_faults_keep_their_words_and_the_connection(own: BaseDatabaseWrapper) -> None:
    server = asked(own, "SELECT pg_backend_pid()")
    with patience(5):
        assert asked(own, "SELECT set_config('statement_timeout', '50', false)") == "50ms"
        with pytest.raises(OperationalError, match="statement timeout"):
            asked(own, "SELECT pg_sleep(5)")
    assert asked(own, "SELECT pg_backend_pid()") == server


def test_without_patience_a_statement_may_last(own: BaseDatabaseWrapper) -> None:
    with patience(0.1):
        pass
    assert asked(own, "SELECT pg_sleep(0.3) IS NULL") is False


def test_a_connection_waits_no_longer_than_a_statement() -> None:
    assert connect_timeout_s(5) == 5
    for seconds, longest in ((0.2, 2), (3.5, 4), (16, 5)):
        with patience(seconds):
            assert connect_timeout_s(5) == longest
