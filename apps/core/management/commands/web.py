from __future__ import annotations

import gc
import os
import resource
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import get_resolver
from django.utils.module_loading import import_string

from apps.core.timed_postgres.client_timeout import set_process_timeout
from apps.core.web_server.server import Server, listen


class Command(BaseCommand):
    help = "Serve pages, API, pings and status pages until SIGTERM; requests under way are finished."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", default=f"127.0.0.1:{settings.PORT}", help="address and port, as 0.0.0.0:8000 or [::]:8000")
        parser.add_argument("--threads", type=int, default=settings.WEB_THREADS)

    def handle(self, *_args: Any, **options: Any) -> None:
        host, _, port = options["bind"].rpartition(":")
        try:
            listening = listen(host.strip("[]") or "127.0.0.1", int(port))
        except (OSError, ValueError, OverflowError) as error:
            raise CommandError(f"{options['bind']} cannot be listened on: {error}") from error
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # one descriptor per slow client
        application = import_string(settings.WSGI_APPLICATION)
        handlers = [import_string(name) for name in settings.FAST_HANDLERS]
        get_resolver().url_patterns  # noqa: B018  # loads every view
        # Without this every full collection traverses all loaded modules, which stopped all responses for 0.1 s.
        gc.collect()
        gc.freeze()
        set_process_timeout(settings.STATEMENT_TIMEOUT_S + 1)
        for name in settings.WEB_COMPANIONS:
            import_string(name)(host, listening.getsockname()[1])
        Server(application, handlers, threads=options["threads"]).run(listening)
        sys.stdout.flush()
        os._exit(0)  # do not wait for threads that are blocked on the database
