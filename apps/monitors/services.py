"""Commands on checks, resources and the dispatch cursor.

Those that touch a check's state are called by `incidents`, which holds the state's lock.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest, Now

from apps.core.clock import to_ms
from apps.monitors.errors import FieldError
from apps.monitors.models import (
    MAX_INTERVAL_S,
    MAX_TIMEOUT_S,
    MIN_INTERVAL_S,
    BeatLease,
    Check,
    DispatchCursor,
    Pause,
    Region,
    Resource,
)
from apps.monitors.regions import ensure_core_region
from apps.monitors.schedule import due_span, phase_of
from apps.net.guard import AddressPolicy, literal
from apps.orgs.actors import Actor
from apps.orgs.audit import record_audit_entry
from apps.orgs.models import Project
from apps.probes.contract import Kind, OptionError
from apps.probes.registry import KINDS

MASK = "••••••"
"""Shown in place of a stored secret; sent back unchanged, it keeps the secret."""

BEAT_LEASE = timedelta(seconds=5)
"""How long after a beat was killed another one takes over."""


@dataclass(frozen=True)
class CheckSpec:
    """All settings of a check that a person chooses. `regions` are slugs; None means every enabled region."""

    name: str
    kind: str
    target: str
    options: Mapping[str, Any]
    interval_s: int = 60
    timeout_s: int | None = None
    degraded_ms: int | None = None
    retries: int = 0
    fail_after: int = 1
    recover_after: int = 1
    quorum: int | None = None
    regions: tuple[str, ...] | None = None


@dataclass(frozen=True)
class CheckFields:
    """A validated spec as the columns of a check."""

    name: str
    kind: str
    target: str
    options: dict[str, Any]
    secrets: dict[str, Any] | None
    interval_s: int
    timeout_s: int
    degraded_ms: int | None
    retries: int
    fail_after: int
    recover_after: int
    quorum: int | None
    region_ids: list[int]


REVISION_FIELDS = (
    "kind",
    "target",
    "options",
    "secrets",
    "interval_s",
    "timeout_s",
    "degraded_ms",
    "retries",
    "fail_after",
    "recover_after",
    "quorum",
    "region_ids",
)
"""Columns that the probe or the state machine reads: a change begins a revision."""
STREAK_RESET_FIELDS = ("kind", "target", "quorum", "region_ids")
"""A change of these resets the streaks, since earlier rounds say nothing about the new target."""


def changed_spec(check: Check, changes: Mapping[str, Any]) -> CheckSpec:
    """Return the check's spec with these fields changed; options that are not named are kept. Raises FieldError.

    A secret does not follow a check to another origin: whoever may edit the check could otherwise read it there.
    """
    kept_options = {**check.options, **(check.secrets or {})} if changes.get("kind", check.kind) == check.kind else {}
    options = dict(changes.get("options") or {})
    moved = _moved(check, changes, kept_options, options)
    if moved:
        for name in check.secrets or {}:
            if name in kept_options and name != moved and (name not in options or MASK in str(options[name])):
                raise FieldError(f"options.{name}", f"must be sent anew when {moved} changes")
            kept_options.pop(name, None)
    current = {name: getattr(check, name) for name in _PLAIN}
    merged = {**current, **{name: value for name, value in changes.items() if name in (*_PLAIN, "regions")}}
    if "interval_s" in changes and "timeout_s" not in changes:
        merged["timeout_s"] = min(check.timeout_s, max(merged["interval_s"], 1))
    return CheckSpec(**{**merged, "options": {**kept_options, **merge_masked(options, kept_options)}})


def _refuse_masks(options: Mapping[str, Any]) -> None:
    """Raise FieldError for a mask without a stored value: it would be stored as the secret itself."""
    for name, value in options.items():
        if MASK in (str(value.values()) if isinstance(value, dict) else str(value)):
            raise FieldError(f"options.{name}", "is masked, and nothing is kept that it could stand for: send it anew")


def _moved(check: Check, changes: Mapping[str, Any], kept: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """Return what in this change would send secrets elsewhere: the target's origin or an option's name; else None."""
    if _origin(changes.get("target", check.target)) != _origin(check.target):
        return "the target's origin"
    given = (name for name in KINDS[check.kind].routes if name in options and options[name] != MASK)
    return next((name for name in given if options[name] != kept.get(name, "")), None) if kept else None


_PLAIN = ("name", "kind", "target", "interval_s", "timeout_s", "degraded_ms", "retries", "fail_after", "recover_after", "quorum")


def _origin(target: str) -> tuple[str, str]:
    """Return scheme and authority of a URL (RFC 3986); any other target is an origin of its own."""
    scheme, separator, rest = target.partition("://")
    return (scheme, re.split(r"[/?#]", rest, maxsplit=1)[0].lower()) if separator else ("", target)


def validate_spec(
    spec: CheckSpec, *, policy: AddressPolicy | None = None, kept_region_ids: Sequence[int] | None = None
) -> CheckFields:
    """Validate a spec and return the columns of the check. Raises FieldError.

    Without `regions`, `kept_region_ids` stay, even if disabled since; a passive check belongs to the core's region.
    """
    kind = KINDS.get(spec.kind)
    if kind is None:
        raise FieldError("kind", f"is not one of {', '.join(sorted(KINDS))}")
    if not MIN_INTERVAL_S <= spec.interval_s <= MAX_INTERVAL_S:
        raise FieldError("interval_s", f"must be from {MIN_INTERVAL_S} to {MAX_INTERVAL_S}")
    timeout_s = min(10, spec.interval_s) if spec.timeout_s is None else spec.timeout_s
    if not 1 <= timeout_s <= min(spec.interval_s, MAX_TIMEOUT_S):
        raise FieldError("timeout_s", f"must be from 1 to {min(spec.interval_s, MAX_TIMEOUT_S)}, and not above the interval")
    for name, value in (("fail_after", spec.fail_after), ("recover_after", spec.recover_after)):
        if not 1 <= value <= 100:
            raise FieldError(name, "must be from 1 to 100")
    if not 0 <= spec.retries <= settings.MAX_RETRIES:
        raise FieldError("retries", f"must be from 0 to {settings.MAX_RETRIES}")
    _refuse_masks(spec.options)
    options = _parsed_options(kind, spec)
    address = literal(options.host)
    if address is not None and not (policy or settings.ADDRESS_POLICY).permits(address):
        raise FieldError("target", f"{address} is an address that this deployment does not probe")
    stored = options.stored()
    secrets = {name: stored.pop(name) for name in kind.secret_options if stored.get(name)}
    stored = {name: value for name, value in stored.items() if name not in kind.secret_options}
    keeps = spec.regions is None and kept_region_ids is not None
    if kind.is_passive:
        region_ids = [ensure_core_region().pk]
    else:
        region_ids = list(kept_region_ids or ()) if keeps else _region_ids(spec.regions)
    if spec.quorum is not None and not 1 <= spec.quorum <= len(region_ids):
        raise FieldError("quorum", f"must be from 1 to the number of regions, {len(region_ids)}")
    return CheckFields(
        name=spec.name,
        kind=spec.kind,
        target=spec.target,
        options=stored,
        secrets=secrets or None,
        interval_s=spec.interval_s,
        timeout_s=timeout_s,
        degraded_ms=spec.degraded_ms,
        retries=spec.retries,
        fail_after=spec.fail_after,
        recover_after=spec.recover_after,
        quorum=spec.quorum,
        region_ids=region_ids,
    )


def _parsed_options(kind: Kind, spec: CheckSpec) -> Any:
    """Return the options as the kind parses them, with the check's own `degraded_ms`. Raises FieldError."""
    for name in ("degraded_ms", "retries"):
        if name in spec.options:
            raise FieldError(f"options.{name}", f"is a field of the check itself: {name}")
    try:
        return kind.parse(
            spec.target, {**spec.options, "degraded_ms": spec.degraded_ms} if spec.degraded_ms is not None else spec.options
        )
    except OptionError as error:
        field = "degraded_ms" if error.field == "options.degraded_ms" else error.field
        raise FieldError(field, error.message) from error


def _region_ids(slugs: tuple[str, ...] | None) -> list[int]:
    known = dict(Region.objects.probing().values_list("slug", "id"))
    if slugs is None:
        if not known:
            raise FieldError("regions", "there is no enabled region yet: `manage.py region add SLUG` makes one")
        return sorted(known.values())
    if not slugs:
        raise FieldError("regions", "must name at least one region")
    for slug in slugs:
        if slug not in known:
            raise FieldError("regions", f"{slug!r} is not an enabled region")
    return sorted({known[slug] for slug in slugs})


def merge_masked(new: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Merge new options into stored ones: a mask stands for the stored value of the same name."""
    merged: dict[str, Any] = {}
    for name, value in new.items():
        before = kept.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[name] = merge_masked(value, before)
        else:
            merged[name] = before if value == MASK and before is not None else value
    return merged


def masked_options(check: Check) -> dict[str, Any]:
    """Return the options for display: every value inside a secret option is masked, names stay readable."""
    secret = {
        name: dict.fromkeys(value, MASK) if isinstance(value, dict) else MASK for name, value in (check.secrets or {}).items()
    }
    return {**check.options, **secret}


def audited_fields(check: Check) -> dict[str, Any]:
    """Return the fields of a check for the audit log; secrets are masked."""
    plain = {name: getattr(check, name) for name in _PLAIN}
    return {**plain, "region_ids": list(check.region_ids), "resource": str(check.resource_id), "options": masked_options(check)}


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


def ensure_resource(*, project: Project, name: str) -> Resource:
    defaults = {"organization_id": project.organization_id}
    return Resource.objects.get_or_create(project=project, name=name, defaults=defaults)[0]


@transaction.atomic
def create_resource(*, actor: Actor, project: Project, name: str, now: datetime) -> Resource:
    """Create a resource. Raises FieldError if the project has one of that name."""
    defaults = {"organization_id": project.organization_id}
    resource, is_new = Resource.objects.get_or_create(project=project, name=name, defaults=defaults)
    if not is_new:
        raise FieldError("name", "a resource of this name exists already")
    record_audit_entry(actor=actor, action="resource.created", subject=resource, now=now)
    return resource


@transaction.atomic
def rename_resource(*, actor: Actor, resource: Resource, name: str, now: datetime) -> Resource:
    """Rename a resource. Raises FieldError if the project has another one of that name."""
    if Resource.objects.filter(project_id=resource.project_id, name=name).exclude(pk=resource.pk).exists():
        raise FieldError("name", "a resource of this name exists already")
    before, resource.name = resource.name, name
    resource.save(update_fields=["name"])
    record_audit_entry(
        actor=actor, action="resource.renamed", subject=resource, now=now, before={"name": before}, after={"name": name}
    )
    return resource


# --- the dispatch cursor


def next_revision_start(*, now: datetime) -> int:
    """Return the first moment (epoch ms) not yet dispatched, where the regular slots of a new revision begin.

    Takes the cursor's lock.
    """
    return max(_locked_cursor(now=now).sent_until_ms, to_ms(now)) + 1


def advance_cursor(*, now: datetime) -> tuple[int, int]:
    """Advance the cursor; return the next span (after, until] of slots to send.

    Must be committed before anything is sent, so that a slot is sent at most once.
    """
    cursor = _locked_cursor(now=now)
    after, until = due_span(cursor.sent_until_ms, to_ms(now))
    cursor.sent_until_ms = max(until, cursor.sent_until_ms)
    cursor.save(update_fields=["sent_until_ms"])
    return after, until


def acquire_beat_lease(*, holder: str) -> bool:
    """Take or extend the lease; return whether this beat may send during the next seconds.

    One conditional update by the database's clock, so that only one of several beats gets it.
    """
    until = Now() + BEAT_LEASE
    taken = BeatLease.objects.filter(Q(holder=holder) | Q(until__lt=Now()), pk=1).update(holder=holder, until=until)
    if taken:
        return True
    _, is_new = BeatLease.objects.get_or_create(pk=1, defaults={"holder": holder, "until": until})
    return is_new


def _locked_cursor(*, now: datetime) -> DispatchCursor:
    locked = DispatchCursor.objects.select_for_update()
    found = locked.filter(id=1).first()
    if found is None:
        first = DispatchCursor(id=1, sent_until_ms=to_ms(now))
        DispatchCursor.objects.bulk_create([first], ignore_conflicts=True)  # two may be first at once
        found = locked.get(id=1)
    return found
