from __future__ import annotations

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.pipeline.consumer import IngestConsumer
from apps.telemetry.health import serve_if_configured


class Command(BaseCommand):
    help = "Take the probe workers' results. Several may run."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        serve_if_configured()
        IngestConsumer(settings.BROKER_URL, stop).run()
