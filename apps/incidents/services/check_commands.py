"""Commands of people on checks that change their state. Each locks the state row first, then the dispatch cursor."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from django.db import transaction

from apps.core.clock import to_ms
from apps.core.wake import wake
from apps.incidents.extras import kept, new_extra, reusable_extra
from apps.incidents.heartbeat_machine import HeartbeatState, deadline, edited, resumed
from apps.incidents.machine import Event, Level, SetInterval, State, truncate
from apps.incidents.models import CheckState, IncidentEvent
from apps.incidents.rows import NEVER_MS, new_state_row, policy_of, state_of, write_state
from apps.incidents.services.apply_events import add_event, new_intervals, resolve_open, write_events
from apps.monitors import services as monitors
from apps.monitors.check_spec import REVISION_FIELDS, STREAK_RESET_FIELDS, CheckSpec, audited_fields, changed_spec, validate_spec
from apps.monitors.dispatch_cursor import next_revision_start
from apps.monitors.models import Check, Resource
from apps.monitors.resources import ensure_resource
from apps.orgs.actors import Actor
from apps.orgs.audit import changes_of, record_audit_entry
from apps.orgs.models import Project
from apps.probes.registry import KINDS, PASSIVE
from apps.results.state_intervals import put_intervals

DISPATCH_TASK = "pipeline.dispatch_extra"


class CheckCommand(Protocol):
    """A command that needs only the check and who runs it, such as pause or resume."""

    def __call__(self, *, actor: Actor, check_id: uuid.UUID, now: datetime) -> object: ...


class StateForbidsError(Exception):
    """The check's state does not allow this command. `code` is machine-readable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@transaction.atomic
def create_check(*, actor: Actor, project: Project, spec: CheckSpec, resource: Resource | None, now: datetime) -> Check:
    """Create a check, its state row and its first extra slot. Raises FieldError.

    A passive check gets no extra slot; it waits for its first signal.
    """
    fields = validate_spec(spec)
    home = resource or ensure_resource(project=project, name=spec.name)
    since = next_revision_start(now=now)
    check = monitors.create_check(project=project, resource=home, fields=fields, since_ms=since, now=now)
    slot = to_ms(now)
    is_passive = KINDS[check.kind].is_passive
    row = new_state_row(check, first_slot=None if is_passive else slot, now_ms=slot)
    row.extras = [] if is_passive else [slot]
    row.save(force_insert=True)
    if not is_passive:
        _send_extra(check, slot)
    record_audit_entry(actor=actor, action="check.created", subject=check, now=now, after=audited_fields(check))
    return check


@transaction.atomic
def edit_check(
    *, actor: Actor, check_id: uuid.UUID, changes: Mapping[str, Any], resource: Resource | None, now: datetime
) -> Check:
    """Change the given fields of a check's spec, merged under the lock. Raises FieldError.

    A new name or resource is only stored; a change of anything that the probe or the machine reads begins a revision.
    """
    row, check = _locked(check_id)
    before = audited_fields(check)
    spec = changed_spec(check, changes)
    is_alike = (spec.kind in PASSIVE) == (check.kind in PASSIVE)
    fields = validate_spec(spec, kept_region_ids=check.region_ids if is_alike else None)
    changed = monitors.change_check(check=check, fields=fields)
    if resource is not None and resource.pk != check.resource_id:
        check.resource = resource
        check.save(update_fields=["resource"])
        changed = (*changed, "resource")
    read = set(REVISION_FIELDS) - ({"target"} if check.kind in PASSIVE and is_alike else set())  # read by no code
    if set(changed) & read:
        is_new_target = bool(set(changed) & set(STREAK_RESET_FIELDS))
        _begin_revision(row, check, now, with_extra=not check.is_paused, is_new_target=is_new_target)
    if changed:
        differs = changes_of(before, audited_fields(check))
        if "secrets" in changed:
            differs[1]["secrets"] = "changed"  # masked on both sides, so the comparison would not show it
        record_audit_entry(actor=actor, action="check.edited", subject=check, now=now, before=differs[0], after=differs[1])
    return check


@transaction.atomic
def pause_check(*, actor: Actor, check_id: uuid.UUID, now: datetime) -> Check:
    """Stop running a check; time not yet settled becomes unknown. Pausing a paused check changes nothing."""
    row, check = _locked(check_id)
    if not check.is_paused:
        monitors.begin_pause(check=check, now=now)
        _begin_revision(row, check, now, with_extra=False)
        record_audit_entry(actor=actor, action="check.paused", subject=check, now=now)
    return check


@transaction.atomic
def resume_check(*, actor: Actor, check_id: uuid.UUID, now: datetime) -> Check:
    row, check = _locked(check_id)
    if check.is_paused:
        monitors.end_pause(check=check, now=now)
        _begin_revision(row, check, now, with_extra=True, is_resumed=True)
        record_audit_entry(actor=actor, action="check.resumed", subject=check, now=now)
    return check


@transaction.atomic
def delete_check(*, actor: Actor, check_id: uuid.UUID, now: datetime) -> None:
    """Mark a check as deleted.

    An open incident is resolved as `check_deleted`, and those who were notified of it are notified again.
    """
    row, check = _locked(check_id)
    if check.is_paused:
        monitors.end_pause(check=check, now=now)
    check.deleted_at = now
    _begin_revision(row, check, now, with_extra=False)
    _close_incident(row, check, now, resolution="check_deleted")
    row.level, row.opened, row.last_notified, row.last_notified_incident = int(Level.GOOD), None, int(Level.GOOD), None
    row.save()
    record_audit_entry(actor=actor, action="check.deleted", subject=check, now=now, before=audited_fields(check))


@transaction.atomic
def run_now(*, actor: Actor, check_id: uuid.UUID, now: datetime) -> int:
    """Dispatch an extra run and return its slot; while one is open, return its slot instead.

    Raises StateForbidsError for a paused or a passive check.
    """
    row, check = _locked(check_id)
    if check.is_paused:
        raise StateForbidsError("paused", "The check is paused: resume it to run it.")
    if KINDS[check.kind].is_passive:
        raise StateForbidsError("passive", "This check waits to be pinged: there is nothing to run.")
    state, policy, now_ms = state_of(row), policy_of(check), to_ms(now)
    slot = reusable_extra(state, policy, row.extras, now_ms)
    if slot is not None:
        return slot
    slot = new_extra(state, policy, row.extras, now_ms)
    row.extras = kept(row.extras, slot)
    row.save(update_fields=["extras"])
    _send_extra(check, slot)
    record_audit_entry(actor=actor, action="check.run", subject=check, now=now)
    return slot


@transaction.atomic
def resolve_while_paused(*, check_id: uuid.UUID, now: datetime) -> None:
    """Resolve the machine's incident of a paused check by hand. Raises StateForbidsError if it is not paused."""
    row, check = _locked(check_id)
    if not check.is_paused:
        raise StateForbidsError("still_failing", "The check still fails: acknowledge the incident, or pause the check first.")
    _close_incident(row, check, now, resolution="person")
    state = state_of(row)
    write_state(row, State(due=state.due, slot=state.slot, counted=state.counted, status=state.status))
    row.last_notified_incident = None
    row.save()


def _close_incident(row: CheckState, check: Check, now: datetime, *, resolution: str) -> None:
    """Resolve the check's open incident, and notify those who were notified of its opening."""
    last_notified = row.last_notified_incident
    resolve_open(check=check, at=now, resolution=resolution, settled_until=row.due)
    if row.last_notified > Level.GOOD and last_notified is not None:
        last_notified.refresh_from_db()
        add_event(row=row, check=check, incident=last_notified, kind=IncidentEvent.Kind.RESOLVED, now=now)


def _locked(check_id: uuid.UUID) -> tuple[CheckState, Check]:
    row = CheckState.objects.select_for_update().get(check_row_id=check_id)
    check = Check.objects.select_related("organization", "project", "resource").get(pk=check_id)
    if check.deleted_at is not None:
        raise Check.DoesNotExist
    return row, check


def _begin_revision(
    row: CheckState, check: Check, now: datetime, *, with_extra: bool, is_new_target: bool = False, is_resumed: bool = False
) -> None:
    """Begin a revision: truncate the state, then set the first slot or, for a passive check, the deadline."""
    since = next_revision_start(now=now)
    monitors.begin_revision(check=check, since_ms=since)
    # Two for passive checks: a ping that read the state without a lock must find another `slot`, whatever `now` is.
    at = max(to_ms(now), row.slot + (2 if check.kind in PASSIVE else 1))
    state, events = truncate(state_of(row), at, is_new_target=is_new_target)
    _write_truncation(row, check, state, events, now)
    row.deadline = None
    if check.kind in PASSIVE:
        _restart_waiting(row, check, at, is_active=with_extra, is_resumed=is_resumed)
    elif with_extra:
        row.extras = kept(row.extras, at)
        _send_extra(check, at)
        if (is_resumed or is_new_target) and row.level == Level.GOOD:
            row.status, row.since, row.reason, row.message = "pending", at, "", ""  # nothing is known of now
    row.save()


def _restart_waiting(row: CheckState, check: Check, at: int, *, is_active: bool, is_resumed: bool) -> None:
    """Set what a passive check waits for after a truncation, and until when.

    A failing one stays so until its next signal.
    """
    options = KINDS[check.kind].parse(check.target, check.options)
    if row.wait is None:  # The check was active until now, and what was seen then no longer applies.
        put_intervals(new_intervals(row=row, events=[SetInterval(at, NEVER_MS, "unknown", "unknown")]))
    before = HeartbeatState.read(row.wait)
    wait = resumed(before, at) if is_resumed else edited(before, options, check.interval_ms, at)
    due = deadline(wait, options, check.interval_ms) if is_active else None
    row.wait = wait.stored()
    row.deadline = due.at if due else None
    row.due = row.deadline or (NEVER_MS if is_active else row.due)
    if row.level == Level.GOOD:
        row.status, row.since = "pending", at


def _write_truncation(row: CheckState, check: Check, state: State, events: Sequence[Event], now: datetime) -> None:
    write_events(row=row, check=check, events=events, why_at=lambda _slot: None, now=now)
    write_state(row, state)


def _send_extra(check: Check, slot: int) -> None:
    wake(DISPATCH_TASK, check=str(check.id), revision=check.revision, slot=slot)
