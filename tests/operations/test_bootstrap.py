from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError

from apps.operations.management.commands import bootstrap


def test_before_the_first_migration_it_says_so_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**_values: object) -> None:
        raise ProgrammingError('relation "orgs_user" does not exist\nLINE 1: …')

    monkeypatch.setattr(bootstrap, "bootstrap", missing)
    with pytest.raises(CommandError, match=r"^the database is not ready: .* Is it up and migrated\?$"):
        call_command("bootstrap", email="a@b.example", password="x", org="o", project="p")
