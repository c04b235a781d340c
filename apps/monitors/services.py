"""Commands on checks.

Those that touch a check's state are called by `incidents`, which holds the state's lock.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from apps.core.clock import to_ms
from apps.core.errors import FieldError
from apps.monitors.check_spec import CheckFields
from apps.monitors.models import Check, Pause, Resource
from apps.monitors.schedule import phase_of
from apps.orgs.actors import Actor
from apps.orgs.audit import record_audit_entry
from apps.orgs.models import Project


def create_check(*, project: Project, resource: Resource, fields: CheckFields, since_ms: int, now: datetime) -> Check:
    """Create a check. Raises FieldError if a heartbeat's slug is taken."""
    check_id = uuid.uuid4()
    with _slug_unique():
        return Check.objects.create(
            id=check_id,
            organization_id=project.organization_id,
            project=project,
            resource=resource,
            since_ms=since_ms,
            phase_ms=phase_of(check_id, fields.interval_s * 1000),
            created_at=now,
            **vars(fields),
        )


@contextmanager
def _slug_unique() -> Iterator[None]:
    """Turn a violation of the unique slug into a FieldError: two checks may be saved at once."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if "check_slug_unique" not in str(error):
            raise
        raise FieldError("options.slug", "another heartbeat of the project has it") from error


def change_check(*, check: Check, fields: CheckFields) -> tuple[str, ...]:
    """Write the fields and return the names of those that changed. Raises FieldError if a slug is taken.

    The caller holds the state's lock and begins the revision.
    """
    changed = tuple(name for name, value in vars(fields).items() if getattr(check, name) != value)
    for name in changed:
        setattr(check, name, getattr(fields, name))
    if "interval_s" in changed:
        check.phase_ms = phase_of(check.id, check.interval_ms)
    with _slug_unique():
        check.save(update_fields=[*changed, "phase_ms"])
    return changed


@transaction.atomic
def rotate_ping_secret(*, actor: Actor, check: Check, now: datetime) -> Check:
    """Replace the ping secret, and so the ping URL; the old one stops working."""
    check.ping_secret = uuid.uuid4()
    check.save(update_fields=["ping_secret"])
    record_audit_entry(
        actor=actor, action="check.ping_secret_rotated", subject=check, now=now,
    )  # fmt: skip
    return check


def begin_revision(*, check: Check, since_ms: int) -> None:
    """Increment the revision, so that runs sent for an older one are ignored."""
    check.revision += 1
    check.since_ms = since_ms
    check.save(update_fields=["revision", "since_ms", "is_paused", "deleted_at"])


def begin_pause(*, check: Check, now: datetime) -> None:
    check.is_paused = True
    Pause.objects.create(check_row=check, from_ms=to_ms(now))


def end_pause(*, check: Check, now: datetime) -> None:
    check.is_paused = False
    Pause.objects.filter(check_row=check, until_ms=None).update(until_ms=Greatest(F("from_ms"), to_ms(now)))
