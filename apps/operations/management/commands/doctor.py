from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from apps.operations.doctor import findings
from apps.operations.figures import figures


class Command(BaseCommand):
    help = "Say what holds the installation up, and what to do about it. Ends with 1 when something is bad."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        seen = figures(now=timezone.now())
        found = findings(seen)
        for finding in found:
            self.stdout.write(f"{finding.level:<5}{finding.what}\n     {finding.advice}")
        for region in seen.regions:
            state = "alive" if region.is_live else "silent"
            self.stdout.write(f"     {region.slug}: {state}, {region.workers} workers, {region.in_flight} runs under way")
        if not found:
            self.stdout.write("All is well.")
        if any(finding.level == "bad" for finding in found):
            sys.exit(1)
