"""Reads of state: the machine's status with pause and silence laid over it, and uptime."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from apps.core.clock import from_ms, to_ms
from apps.incidents.machine import unknown_from
from apps.incidents.models import CheckState, Incident
from apps.incidents.rows import policy_of, state_of
from apps.monitors.models import Check, Pause
from apps.orgs.models import Organization, Project
from apps.probes.reasons import MEANINGS, Reason
from apps.results.selectors import down_ms, shown_spans
from apps.results.uptime import Span, Uptime, add_up, overlay


@dataclass(frozen=True)
class ShownState:
    """What a reader is told of a check now."""

    status: str
    since: datetime
    reason: tuple[str, str] | None


def shown_state(*, check: Check, row: CheckState, pause: Pause | None, now: datetime) -> ShownState:
    """Pure over loaded rows; `pause` is the open one of a paused check."""
    if check.is_paused:
        return ShownState("paused", from_ms(pause.from_ms if pause else row.due), None)
    state = state_of(row)
    silent_from = unknown_from(state, policy_of(check), to_ms(now))
    if silent_from is not None:
        return ShownState("unknown", from_ms(silent_from), (Reason.NO_RESULT.value, MEANINGS[Reason.NO_RESULT].words))
    reason = (row.reason, row.message) if row.reason else None
    return ShownState(state.status, from_ms(row.since), reason)


def open_pauses(check_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Pause]:
    return {pause.check_row_id: pause for pause in Pause.objects.filter(check_row_id__in=list(check_ids), until_ms=None)}


def uptime(*, check: Check, start: datetime, end: datetime) -> Uptime:
    """Seconds of each state within [start, end), never before creation, and not beyond what readers may know by `end`."""
    row = CheckState.objects.get(check_row=check)
    begin, until = max(to_ms(start), to_ms(check.created_at)), to_ms(end)
    if until <= begin:
        return Uptime(begin, begin)
    settled = min(until, row.due)
    spans = shown_spans(check_id=check.id, start=begin, end=settled) if settled > begin else []
    if unknown_from(state_of(row), policy_of(check), until) is not None:
        spans = [*spans, Span(max(settled, begin), until, "unknown")]
    last = spans[-1].end if spans else begin
    pauses = _pauses(check, begin, until)
    last = max([last, *(pause.end for pause in pauses)])
    covered = overlay(spans, pauses)
    return add_up(covered, begin, last)


def _pauses(check: Check, start: int, end: int) -> list[Span]:
    pauses = Pause.objects.filter(check_row=check, from_ms__lt=end).exclude(until_ms__lte=start).order_by("from_ms")
    spans = [Span(max(p.from_ms, start), min(p.until_ms or end, end), "paused") for p in pauses]
    return [span for span in spans if span.end > span.start]


def incidents_of(*, organization: Organization, project: Project | None) -> QuerySet[Incident]:
    """What a caller may see, with what a list shows."""
    incidents = Incident.objects.filter(organization=organization).select_related("acknowledged_by")
    return incidents if project is None else incidents.filter(project=project)


def downtime_ms(*, incident: Incident, now: datetime) -> int:
    """Of a resolved incident what was counted then; of an open one what its intervals hold so far."""
    if incident.status == Incident.Status.RESOLVED or incident.check_row_id is None:
        return incident.downtime_ms
    row = CheckState.objects.get(check_row_id=incident.check_row_id)
    return down_ms(check_id=row.check_row_id, start=to_ms(incident.started_at), end=min(row.due, to_ms(now)))
