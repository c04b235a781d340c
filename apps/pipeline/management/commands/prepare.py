from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.utils import timezone

from apps.monitors.regions import ensure_region
from apps.pipeline.regions import worker_environment
from apps.results.partitions import ensure_partitions


class Command(BaseCommand):
    help = "Migrate, make partitions and the region `local`; prints that region's worker environment as JSON. Idempotent."

    def handle(self, *_args: Any, **_options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0; SET lock_timeout = 0")  # a migration may take its time
        call_command("migrate", interactive=False, verbosity=0, stdout=sys.stderr)
        ensure_partitions(now=timezone.now())
        region = ensure_region(slug="local", name="Local")
        self.stdout.write(json.dumps({"slug": region.slug, "env": worker_environment(region)}))
