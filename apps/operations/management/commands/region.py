from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_slug

from apps.monitors.regions import ensure_region
from apps.monitors.worker_environment import worker_environment
from apps.operations.broker_accounts import rabbitmq_rules, valkey_rules
from apps.probes.wire import queue_of


class Command(BaseCommand):
    help = "region add SLUG: make a region (or show it again); print as JSON what its workers need, and may do at the broker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=["add"])
        parser.add_argument("slug")
        parser.add_argument("--name", default="")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            validate_slug(options["slug"])
        except ValidationError as error:
            raise CommandError(f"{options['slug']!r} is not a slug: letters, digits, - and _") from error
        if len(options["slug"]) > 40:
            raise CommandError("A slug has at most 40 characters.")
        region = ensure_region(slug=options["slug"], name=options["name"])
        answer = {
            "slug": region.slug,
            "key": region.key,
            "queue": queue_of(region.slug),
            "env": worker_environment(region),
            "rabbitmq": ["set_permissions", *rabbitmq_rules(region.slug)],
            "valkey": ["ACL", "SETUSER", f"region-{region.slug}", "on", ">PASSWORD", *valkey_rules(region.slug)],
        }
        self.stdout.write(json.dumps(answer))
