from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.core.embedded.archive import restore
from apps.core.embedded.folder import FolderError


class Command(BaseCommand):
    help = "Put the database and keys of FILE in place of what is there. GoUpTime must not run."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        if not settings.IS_EMBEDDED:
            raise CommandError("DATABASE_URL names a server of your own: use pg_dump and pg_restore with it.")
        try:
            restore(settings.DATA_FOLDER, options["file"])
        except FolderError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Restored from {options['file']}.")
