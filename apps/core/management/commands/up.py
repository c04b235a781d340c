from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Run everything: database, broker, web, workers, a probe worker. Ctrl-C stops it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument("--probes", type=int, default=settings.LOCAL_PROBES, help="probe workers of the region `local`")
        parser.add_argument("--demo", action="store_true", help="with a demo project and the target that it watches")

    def handle(self, *_args: Any, **options: Any) -> None:
        # The supervisor needs no Django: it takes this process over, and its memory is given back.
        path, port = str(settings.DATA_FOLDER.path.absolute()), str(options["port"])
        command = [sys.executable, "-m", "apps.core.embedded.supervisor", "--data", path, "--port", port]
        command += ["--probes", str(max(1, options["probes"]))]
        command += ["--demo"] if options["demo"] else []
        os.execv(sys.executable, command)  # noqa: S606  # no shell is wanted
