from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.core.embedded.archive import backup
from apps.core.embedded.folder import FolderError, Keys


class Command(BaseCommand):
    help = "Write the embedded database and its keys to FILE. GoUpTime may run meanwhile."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        if not settings.IS_EMBEDDED:
            raise CommandError("DATABASE_URL names a server of your own: use pg_dump and pg_restore with it.")
        try:
            backup(settings.DATA_FOLDER, Keys(settings.SECRET_KEY, ",".join(settings.ENCRYPTION_KEYS)), options["file"])
        except FolderError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Written: {options['file']}. It holds the keys too: keep it as safe as the data.")
