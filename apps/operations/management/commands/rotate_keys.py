from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.core.crypto import DecryptionError
from apps.core.rotation import encrypted_fields, rotate


class Command(BaseCommand):
    help = (
        "Encrypt every stored secret with the first of GORUPTIME_ENCRYPTION_KEYS. Put a new key in front, restart everything, "
        "run this, then take the old key away. It may run while the product does, and again."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        for model, field in encrypted_fields():
            try:
                done = rotate(model, field)
            except DecryptionError as error:
                raise CommandError(
                    f"{model._meta.label}.{field.name}: {error}. No key was lost: add the one it is under."
                ) from error
            self.stdout.write(f"{model._meta.label}.{field.name}: {done} encrypted anew")
