"""`manage.py prepare` waits for a table lock only shortly and tries again, so that it does not hold up queries."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from django.db import OperationalError
from psycopg.errors import LockNotAvailable

from apps.operations.management.commands import prepare


class Migration:
    """A `migrate` command that raises a lock timeout the first `refusals` times it is called."""

    def __init__(self, refusals: int, cause: Exception) -> None:
        self.refusals, self.cause, self.tries = refusals, cause, 0

    def __call__(self, *_arguments: object, **_options: object) -> None:
        self.tries += 1
        if self.tries <= self.refusals:
            raise OperationalError("canceling statement due to lock timeout") from self.cause


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_PAUSE_S", 0)


@pytest.mark.usefixtures("db", "at_once")
def test_a_table_in_use_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    migration, said, printed = Migration(2, LockNotAvailable()), io.StringIO(), io.StringIO()
    monkeypatch.setattr(prepare, "call_command", migration)
    call_command("prepare", stderr=said, stdout=printed)
    assert migration.tries == 3
    assert said.getvalue().count("a table is in use") == 2
    assert '"slug": "local"' in printed.getvalue()


@pytest.mark.usefixtures("db", "at_once")
@pytest.mark.parametrize(("migration", "tries"), [(Migration(99, LockNotAvailable()), 24), (Migration(99, ValueError()), 1)])
def test_what_does_not_pass_is_said(monkeypatch: pytest.MonkeyPatch, migration: Migration, tries: int) -> None:
    monkeypatch.setattr(prepare, "call_command", migration)
    with pytest.raises(OperationalError, match="lock timeout"):
        call_command("prepare", stderr=io.StringIO())
    assert migration.tries == tries
