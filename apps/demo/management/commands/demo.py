from __future__ import annotations

import asyncio
import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connection
from django.utils import timezone

from apps.demo.job import run_for_ever
from apps.demo.project import (
    EMAIL,
    SLUG,
    demo_organization,
    demo_ping_url,
    make_demo,
    new_password,
    point_demo_at,
    remove_demo,
)
from apps.demo.servers import Places, open_all
from apps.demo.target import serve

TARGET_PORT = 8899


class Command(BaseCommand):
    help = (
        "Serve the demo's target, and make the demo's project with 90 days of history when it is not there. --remove removes it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--remove", action="store_true", help="remove everything that the demo made, and end")
        parser.add_argument("--target-port", type=int, default=TARGET_PORT)

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["remove"]:
            self.stdout.write(f"The demo is removed: {remove_demo()} checks and all their history.")
            return
        asyncio.run(self._run(options["target_port"]))

    async def _run(self, port: int) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        server = await serve(port)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        places, others, names = await open_all(url, timezone.now())
        job: asyncio.Task[None] | None = None
        async with server:
            ping_url = await asyncio.to_thread(self._prepare, places)
            if ping_url is not None:
                job = asyncio.create_task(run_for_ever(ping_url))
            await stop.wait()
        names.close()
        for other in others:
            other.close()
        if job is not None:
            job.cancel()

    def _prepare(self, places: Places) -> str | None:
        now = timezone.now()
        organization = demo_organization()
        if organization is None:
            self.stdout.write("making 90 days of history …")
            organization = make_demo(places=places, now=now)
        else:
            point_demo_at(organization=organization, places=places, now=now)
        self.stdout.write(f"sign in at {settings.PUBLIC_URL}/sign-in/ as {EMAIL} with the password {new_password()}")
        self.stdout.write(f"break and heal things at {places.url}   public page: {settings.PUBLIC_URL}/status/{SLUG}/")
        self.stdout.flush()
        ping_url = demo_ping_url(organization)
        connection.close()
        return ping_url
