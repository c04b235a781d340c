"""Applies the state machine's events of one check: writes intervals, incidents and the outbox.

Called inside the caller's transaction, which holds the lock of the check's state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from apps.core.clock import from_ms, to_ms
from apps.core.wake import wake
from apps.incidents.explanations import Why
from apps.incidents.machine import Event, Level, MarkDown, Notice, Opened, Resolved, SetInterval, State, Unmark, Worsened
from apps.incidents.models import CheckState, Incident, IncidentEvent, Severity
from apps.incidents.payloads import event_payload
from apps.incidents.rows import write_state
from apps.monitors.models import Check
from apps.probes.reasons import MEANINGS, Reason
from apps.results.models import HEALTHS
from apps.results.selectors import down_ms
from apps.results.state_intervals import NewInterval, mark_intervals_down, put_intervals, restore_intervals

_SEVERITY = {Level.WARN: Severity.WARN, Level.DOWN: Severity.DOWN}
EXPAND_TASK = "pipeline.expand"
WhyAt = Callable[[int], Why | None]
"""Returns the reason that the votes of a slot give, or None."""


def has_interval_events_only(events: Sequence[Event]) -> bool:
    """Return whether all events are intervals: no incident changes, nobody is notified.

    Such changes of many checks are written together.
    """
    return all(isinstance(event, SetInterval) for event in events)


def new_intervals(*, row: CheckState, events: Sequence[Event]) -> list[NewInterval]:
    """Return the intervals that these events begin; a repeated health begins none.

    Updates the row's `own` and `shown`.
    """
    begun = []
    for event in events:
        if isinstance(event, SetInterval):
            health = (HEALTHS.index(event.own), HEALTHS.index(event.shown))
            if health != (row.own, row.shown):
                begun.append(NewInterval(row.check_row_id, event.slot, event.own, event.shown))
                row.own, row.shown = health
    return begun


def write_events(*, row: CheckState, check: Check, events: Sequence[Event], why_at: WhyAt, now: datetime) -> None:
    """Write everything that the events require. Sets columns of `row`, which the caller saves."""
    last_notified, slot = Level(row.last_notified), row.slot
    for event in events:
        match event:
            case SetInterval():
                slot = event.slot
                put_intervals(new_intervals(row=row, events=[event]))
            case MarkDown(start):
                mark_intervals_down(check_id=check.id, start=start)
                row.shown = HEALTHS.index("down") if row.own else row.own
            case Unmark(start):
                restore_intervals(check_id=check.id, start=start)
                row.shown = row.own
            case Opened(started, level):
                _open(check, started, level, why_at(slot))
            case Worsened():
                _escalate(check, why_at(slot))
            case Resolved(_, resolved):
                resolve_open(check=check, at=from_ms(resolved), resolution="", settled_until=resolved)
            case Notice(level):
                _tell(row, check, last_notified, level, now)
                last_notified = level


def turned_at(events: Sequence[Event], after: State) -> int:
    """Return since when (epoch ms) the status after these events has held."""
    turns = [event.start for event in events if isinstance(event, (MarkDown, Unmark))]
    return turns[-1] if turns else after.slot


def apply_state_to_row(*, row: CheckState, after: State, why: Why | None, since: int) -> None:
    """Copy the new state and its reason to the row. A new status has held since `since` (epoch ms)."""
    before = row.status
    write_state(row, after)
    if after.status == "up":
        row.reason = row.message = ""
    elif why is not None:
        row.reason, row.message = why
    if after.status != before:
        row.since = since


def open_incident_of(check: Check) -> Incident | None:
    """Return the machine's open incident of a check; a constraint allows one at most."""
    return Incident.objects.open().filter(check_row=check, source=Incident.Source.MACHINE).first()


def _open(check: Check, started: int, level: Level, why: Why | None) -> None:
    code, message = why or ("", "")
    words = MEANINGS[Reason(code)].words if code else "Failing"
    Incident.objects.create(
        organization_id=check.organization_id,
        project_id=check.project_id,
        check_row=check,
        title=f"{check.name}: {words[0].lower()}{words[1:]}",
        severity=_SEVERITY[level],
        started_at=from_ms(started),
        reason=code,
        message=message,
    )


def _escalate(check: Check, why: Why | None) -> None:
    incident = open_incident_of(check)
    if incident is None:
        raise LookupError(f"check {check.id} escalates an incident that is not open")
    incident.severity = Severity.DOWN
    if why is not None:
        incident.reason, incident.message = why
    incident.save(update_fields=["severity", "reason", "message"])


def resolve_open(*, check: Check, at: datetime, resolution: str, settled_until: int) -> Incident | None:
    """Resolve the machine's open incident, if any. Its downtime is counted up to `settled_until` (epoch ms)."""
    incident = open_incident_of(check)
    if incident is None:
        return None
    incident.status = Incident.Status.RESOLVED
    incident.resolved_at = max(at, incident.started_at)
    incident.resolution = resolution
    span = (to_ms(incident.started_at), min(to_ms(incident.resolved_at), settled_until))
    incident.downtime_ms = down_ms(check_id=check.id, start=span[0], end=span[1])
    incident.save(update_fields=["status", "resolved_at", "resolution", "downtime_ms"])
    return incident


def _tell(row: CheckState, check: Check, last_notified: Level, level: Level, now: datetime) -> None:
    if level == Level.GOOD:
        incident, kind = row.last_notified_incident, IncidentEvent.Kind.RESOLVED
    else:
        incident = open_incident_of(check)
        is_same = incident is not None and row.last_notified_incident_id == incident.pk
        kind = IncidentEvent.Kind.WORSENED if last_notified == Level.WARN and is_same else IncidentEvent.Kind.OPENED
    if incident is None:
        raise LookupError(f"check {check.id} is to tell of an incident that is not there")
    if level > Level.GOOD and row.last_notified_incident is not None and row.last_notified_incident_id != incident.pk:
        # That incident was resolved without a notice, and another one opened: send its resolution first.
        row.last_notified_incident.refresh_from_db()
        add_event(row=row, check=check, incident=row.last_notified_incident, kind=IncidentEvent.Kind.RESOLVED, now=now)
    if level == Level.GOOD:
        incident.refresh_from_db()
    add_event(row=row, check=check, incident=incident, kind=kind, now=now)
    row.last_notified_incident = None if level == Level.GOOD else incident


def add_event(*, row: CheckState, check: Check, incident: Incident, kind: IncidentEvent.Kind, now: datetime) -> None:
    """Add an event to the outbox with the check's next sequence number."""
    row.event_seq += 1
    IncidentEvent.objects.create(
        organization_id=check.organization_id,
        check_row=check,
        incident=incident,
        seq=row.event_seq,
        kind=kind,
        payload=event_payload(check=check, incident=incident),
        created_at=now,
    )
    wake(EXPAND_TASK)
