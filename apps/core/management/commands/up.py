from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

_FROM_THE_START = {
    "PYTHONUNBUFFERED": "1",
    "MALLOC_ARENA_MAX": "2",  # threads of a worker share their free memory
}
"""Interpreter and C library read it once, and the supervisor's copies do not start anew."""


class Command(BaseCommand):
    help = "Run everything: database, broker, web, workers, a probe worker. Ctrl-C stops it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument("--probes", type=int, default=settings.LOCAL_PROBES, help="probe workers of the region `local`")
        parser.add_argument("--demo", action="store_true", help="with a demo project and the target that it watches")

    def handle(self, *_args: Any, **options: Any) -> None:
        # The supervisor takes this process over: it needs nothing of what was imported before the servers run.
        path, port = str(settings.DATA_FOLDER.path.absolute()), str(options["port"])
        command = [sys.executable, "-m", "apps.core.embedded.supervisor", "--data", path, "--port", port]
        command += ["--shared", settings.PROGRAMS]
        command += ["--probes", str(max(1, options["probes"]))]
        command += ["--demo"] if options["demo"] else []
        os.execve(sys.executable, command, {**os.environ, **_FROM_THE_START})  # noqa: S606  # no shell is wanted
