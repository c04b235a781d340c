"""Client-side timeouts for a database that hangs: a thread with a timeout gives up, one without waits for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from django.db import OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from apps.core.timed_postgres import client_timeout as module
from apps.core.timed_postgres.client_timeout import CircuitBreaker, client_timeout, connected, set_process_timeout
from tests.conftest import Cast


@pytest.fixture(autouse=True)
def gate(monkeypatch: pytest.MonkeyPatch) -> CircuitBreaker:
    monkeypatch.setattr(module, "_of_process", [])
    monkeypatch.setattr(module, "_gate", gate := CircuitBreaker())
    return gate


@pytest.fixture
def own(cast: Cast) -> Iterator[BaseDatabaseWrapper]:
    connection = connections["own"] = connections.create_connection("default")
    yield connection
    connection.close()
    del connections["own"]


def asked(connection: BaseDatabaseWrapper, sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def give_up(connection: BaseDatabaseWrapper) -> None:
    began = time.monotonic()
    with pytest.raises(OperationalError, match="connection is given up: no answer for"):
        asked(connection, "SELECT pg_sleep(5)")
    assert 0.2 <= time.monotonic() - began < 2


def test_a_statement_without_an_answer_is_given_up_and_the_next_one_asked_anew(
    own: BaseDatabaseWrapper, gate: CircuitBreaker
) -> None:
    server = asked(own, "SELECT pg_backend_pid()")
    set_process_timeout(0.2)
    give_up(own)
    own.close_if_unusable_or_obsolete()
    began = time.monotonic()
    with pytest.raises(OperationalError, match="no connection is tried"):
        asked(own, "SELECT 1")
    assert time.monotonic() - began < 0.1
    gate.close(0)
    assert asked(own, "SELECT pg_backend_pid()") != server


def test_one_that_was_only_slow_for_a_block_is_tried_at_once(own: BaseDatabaseWrapper) -> None:
    set_process_timeout(60)
    with client_timeout(0.2):
        give_up(own)
    own.close_if_unusable_or_obsolete()
    assert asked(own, "SELECT 1") == 1


def test_given_up_in_a_transaction_it_ends_and_a_later_one_is_as_any(own: BaseDatabaseWrapper) -> None:
    @transaction.atomic(using="own")
    def hang() -> None:
        asked(own, "SELECT 1")
        with transaction.atomic(using="own"):
            asked(own, "SELECT pg_sleep(5)")

    with client_timeout(0.2), pytest.raises(OperationalError, match="given up"):
        hang()
    own.close_if_unusable_or_obsolete()
    with client_timeout(5), transaction.atomic(using="own"):
        assert asked(own, "SELECT 1") == 1
    assert not own.in_atomic_block


def test_other_faults_keep_their_words_and_the_connection(own: BaseDatabaseWrapper) -> None:
    server = asked(own, "SELECT pg_backend_pid()")
    with client_timeout(5):
        assert asked(own, "SELECT set_config('statement_timeout', '50', false)") == "50ms"
        with pytest.raises(OperationalError, match="statement timeout"):
            asked(own, "SELECT pg_sleep(5)")
    assert asked(own, "SELECT pg_backend_pid()") == server


def test_without_patience_a_statement_may_last_and_a_block_may_have_less_than_its_process(own: BaseDatabaseWrapper) -> None:
    with client_timeout(0.1):
        pass
    assert asked(own, "SELECT pg_sleep(0.3) IS NULL") is False
    set_process_timeout(60)
    with client_timeout(0.2):
        give_up(own)


class Server:
    """A simulated database server with a clock of its own; connecting raises `fault` where it is set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fault: psycopg.OperationalError | None = None
        self.tried: list[float] = []
        self.gate = CircuitBreaker(lambda: self.now)

    def ask(self) -> str:
        try:
            return str(self.gate.connected(self._connect, 5))
        except psycopg.OperationalError as error:
            return str(error)

    def _connect(self, _timeout_s: int) -> str:
        self.tried.append(self.now)
        if self.fault:
            raise self.fault
        return "there"


def test_while_it_hangs_it_is_tried_once_a_second_and_refused_to_all_others() -> None:
    server = Server()
    server.gate.close()
    server.fault = psycopg.errors.ConnectionTimeout("late")
    for tenth in range(25):
        server.now = tenth / 10
        assert server.ask() == ("late" if tenth in (10, 20) else "no connection is tried: the server did not answer just now")
    server.fault, server.now = None, 3.0
    assert [server.ask(), server.ask()] == ["there", "there"]
    assert server.tried == [1.0, 2.0, 3.0, 3.0]


def test_one_that_refuses_quickly_may_be_asked_by_all() -> None:
    server = Server()
    server.gate.close()
    server.fault, server.now = psycopg.OperationalError("refused"), 1.0
    assert [server.ask(), server.ask()] == ["refused", "refused"]


def test_while_one_tries_nobody_else_does() -> None:
    gate = CircuitBreaker(lambda: 10.0)
    gate._next_try = 9.0
    told: list[str] = []

    def connect(_timeout_s: int) -> str:
        with pytest.raises(psycopg.OperationalError, match="no connection is tried"):
            gate.connected(connect, 5)
        told.append("tried")
        return "there"

    assert (gate.connected(connect, 5), told) == ("there", ["tried"])


def test_a_connection_waits_no_longer_than_a_statement(gate: CircuitBreaker) -> None:
    def longest(timeout_s: int) -> int:
        return timeout_s

    assert connected(longest, 5) == 5
    for seconds, expected in ((0.2, 2), (3.5, 4), (16, 5)):
        with client_timeout(seconds):
            assert connected(longest, 5) == expected
