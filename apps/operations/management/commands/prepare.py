from __future__ import annotations

import json
import sys
import time
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from apps.monitors.regions import ensure_region
from apps.monitors.worker_environment import worker_environment
from apps.results.partitions import ensure_partitions

_LOCK_S, _PAUSE_S, _TRIES = 3, 5, 24


class Command(BaseCommand):
    help = "Migrate, make partitions and the region `local`; prints that region's worker environment as JSON. Idempotent."

    def handle(self, *_args: Any, **_options: Any) -> None:
        with connection.cursor() as cursor:
            # A migration may take long, but while it waits for a table lock all later statements on the table wait too.
            cursor.execute(f"SET statement_timeout = 0; SET lock_timeout = '{_LOCK_S}s'")
        for left in reversed(range(_TRIES)):
            try:
                call_command("migrate", interactive=False, verbosity=0, stdout=sys.stderr)
                ensure_partitions(now=timezone.now())
                break
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable) or not left:
                    raise
                self.stderr.write(f"a table is in use, the migration tries again: {error}")
                time.sleep(_PAUSE_S)
        region = ensure_region(slug="local", name="Local")
        self.stdout.write(json.dumps({"slug": region.slug, "env": worker_environment(region)}))
