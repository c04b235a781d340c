from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

_FROM_THE_START = {
    "PYTHONUNBUFFERED": "1",
    "MALLOC_ARENA_MAX": "2",  # glibc keeps free memory per arena: few arenas, less memory
}
"""Interpreter and C library read these at their start only, which the supervisor's forks do not go through again."""


class Command(BaseCommand):
    help = "Run everything: database, broker, web, workers, a probe worker. Ctrl-C stops it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument("--probes", type=int, default=settings.LOCAL_PROBES, help="probe workers of the region `local`")
        parser.add_argument("--demo", action="store_true", help="with a demo project and the target that it watches")

    def handle(self, *_args: Any, **options: Any) -> None:
        # The supervisor replaces this process, so that it starts without Django and everything else imported here.
        path, port = str(settings.DATA_FOLDER.path.absolute()), str(options["port"])
        command = [sys.executable, "-m", "apps.core.embedded.supervisor", "--data", path, "--port", port]
        command += ["--shared", settings.PROGRAMS]
        command += ["--probes", str(max(1, options["probes"]))]
        command += ["--layout", settings.LAYOUT]
        command += ["--demo"] if options["demo"] else []
        os.execve(sys.executable, command, {**os.environ, **_FROM_THE_START})  # noqa: S606  # no shell is wanted
