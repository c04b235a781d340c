from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.db import OperationalError, ProgrammingError
from django.utils import timezone

from apps.orgs.services import bootstrap


class Command(BaseCommand):
    help = "Make an owner, an organization and a project, and print them with a fresh API key as JSON. Idempotent."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--password", help="by default of the environment (GORUPTIME_PASSWORD), else a line of the input")
        parser.add_argument("--org", required=True)
        parser.add_argument("--project", required=True)

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            validate_email(options["email"])
        except ValidationError as error:
            raise CommandError(f"{options['email']!r} is not an e-mail address") from error
        password = options["password"] or os.environ.get("GORUPTIME_PASSWORD") or sys.stdin.readline().rstrip("\n")
        if not password:
            raise CommandError("a password is needed: in GORUPTIME_PASSWORD, or as a line of the input")
        try:
            user, project, key = bootstrap(
                email=options["email"],
                password=password,
                organization=options["org"],
                project=options["project"],
                now=timezone.now(),
            )
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(f"the database is not ready: {str(error).splitlines()[0]}. Is it up and migrated?") from error
        answer = {"organization_id": project.organization_id, "project_id": project.id, "user_id": user.id, "api_key": key}
        self.stdout.write(json.dumps({name: str(value) for name, value in answer.items()}))
