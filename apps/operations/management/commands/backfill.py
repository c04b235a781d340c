from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.core.clock import DAY_MS, to_ms
from apps.monitors.models import Check
from apps.results.rollups import roll_again

_WIDE = 40


def day(text: str) -> int:
    """Return the start of a day (UTC) in epoch milliseconds. Raises ArgumentTypeError."""
    try:
        return to_ms(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC))
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a day like 2026-11-01") from error


class Command(BaseCommand):
    help = "Make the rollups of some days anew from their runs, packed ones too. May be stopped and begun again at any point."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("first", type=day, help="the first day, like 2026-11-01 (UTC)")
        parser.add_argument("last", type=day, help="the last day")

    def handle(self, *_args: Any, **options: Any) -> None:
        first, end = options["first"], min(options["last"] + DAY_MS, to_ms(timezone.now()))
        if end <= first:
            raise CommandError("The last day lies before the first, or both in the future.")
        checks = list(Check.objects.order_by("pk").values_list("pk", flat=True))
        days = range(first, end, DAY_MS)
        rows = 0
        for turn, start in enumerate(days):
            for place, check_id in enumerate(checks, start=1):
                rows += roll_again(check_id=check_id, start=start, end=min(start + DAY_MS, end))
                self._show((turn + place / len(checks)) / len(days))
        self._show(1.0)
        self.stderr.write("")
        self.stdout.write(f"{rows} hours of {len(checks)} checks were rolled up anew.")

    def _show(self, share: float) -> None:
        """Draw a progress bar if stderr is a terminal."""
        if sys.stderr.isatty():
            done = int(share * _WIDE)
            self.stderr.write(f"\r[{'#' * done}{'.' * (_WIDE - done)}] {share:4.0%}", ending="")
            self.stderr.flush()
