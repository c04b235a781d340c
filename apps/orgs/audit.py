"""The audit log: one row per operation of a person, key or program, written in its transaction and never changed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from apps.orgs.actors import Actor
from apps.orgs.models import AuditEntry


class Tenanted(Protocol):
    """A row that belongs to a project."""

    @property
    def pk(self) -> Any: ...
    @property
    def organization_id(self) -> uuid.UUID: ...
    @property
    def project_id(self) -> uuid.UUID: ...


def record_audit_entry(
    *,
    actor: Actor,
    action: str,
    subject: Tenanted,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write an audit entry. `action` is a noun and a past participle (`check.paused`); the caller has masked secrets in
    `before` and `after`.
    """
    AuditEntry.objects.create(
        organization_id=subject.organization_id,
        project_id=subject.project_id,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name[:300],
        action=action,
        subject_id=str(subject.pk)[:40],
        subject_name=str(subject)[:300],
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
        address=actor.address,
        user_agent=actor.user_agent,
        request_id=actor.request_id[:40],
        created_at=now,
    )


def changes_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields that differ between two states of an object: their old values and their new values."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}
