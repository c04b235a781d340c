"""Reads of check status (overridden while paused or without results), expected pings, incidents and downtimes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, CharField, Count, F, QuerySet, SmallIntegerField, Value, When

from apps.core.clock import from_ms, to_ms
from apps.incidents.heartbeat_machine import HeartbeatState, Preview, preview
from apps.incidents.labels import RANKS
from apps.incidents.machine import SLACK_MS, Level, unknown_from
from apps.incidents.models import CheckState, Incident
from apps.incidents.rows import policy_of, state_of
from apps.monitors.check_spec import CheckFields
from apps.monitors.models import Check, Pause
from apps.orgs.models import Organization, Project
from apps.probes.reasons import MEANINGS, Reason
from apps.probes.registry import KINDS
from apps.results.selectors import shown_spans


@dataclass(frozen=True)
class ShownState:
    """The status that readers see now, since when, and why."""

    status: str
    since: datetime
    reason: tuple[str, str] | None
    is_unconfirmed: bool = False
    """Whether it fails, but not yet often enough to open an incident."""


def shown_state(*, check: Check, row: CheckState, pause: Pause | None, now: datetime) -> ShownState:
    """Return the status shown now, without a query. `pause` is the open pause of a paused check."""
    if check.is_paused:
        return ShownState("paused", from_ms(pause.from_ms if pause else row.due), None)
    state = state_of(row)
    silent_from = unknown_from(state, policy_of(check), to_ms(now))
    if silent_from is not None:
        return ShownState("unknown", from_ms(silent_from), (Reason.NO_RESULT.value, MEANINGS[Reason.NO_RESULT].words))
    reason = (row.reason, row.message) if row.reason else None
    is_unconfirmed = state.status == "warn" and state.level == Level.GOOD and row.reason != Reason.TOO_SLOW.value
    return ShownState(state.status, from_ms(row.since), reason, is_unconfirmed)


def status_now(now: datetime, prefix: str = "") -> Case:
    """Return the status of `shown_state` as a SQL expression, for filters and labels. A test compares the two."""
    return Case(*_laid_over(now, prefix, str), default=F(f"{prefix}state__status"), output_field=CharField())


def rank_now(now: datetime, prefix: str = "") -> Case:
    """Return the rank of that status as a SQL expression, 0 for the worst.

    Ten thousand numbers are sorted in a third of the time of words.
    """
    known = [When(**{f"{prefix}state__status": status}, then=Value(rank)) for status, rank in RANKS.items()]
    return Case(*_laid_over(now, prefix, RANKS.__getitem__), *known, output_field=SmallIntegerField())


def _laid_over(now: datetime, prefix: str, value: Callable[[str], Any]) -> list[When]:
    last_due = Value(to_ms(now) - SLACK_MS) - F(f"{prefix}timeout_s") * 1000
    return [
        When(**{f"{prefix}is_paused": True}, then=Value(value("paused"))),
        When(**{f"{prefix}state__due__lt": last_due}, then=Value(value("unknown"))),
    ]


def ranked_checks(*, project: Project, now: datetime) -> QuerySet[Any]:
    """Return a project's checks with `rank`, the order of the status that readers see now."""
    return Check.objects.live().filter(project=project).annotate(rank=rank_now(now))


def count_by_status(rows: QuerySet[Any]) -> dict[str, int]:
    """Count the rows of `ranked_checks` by status, the worst first."""
    names = list(RANKS)
    return {names[rank]: number for rank, number in rows.order_by("rank").values_list("rank").annotate(Count("pk"))}


def open_pauses(checks: Iterable[Check]) -> dict[uuid.UUID, Pause]:
    """Return the open pause of each paused check; runs no query if none is paused."""
    paused = [check.pk for check in checks if check.is_paused]
    return {pause.check_row_id: pause for pause in Pause.objects.filter(check_row_id__in=paused, until_ms=None)}


def due_times(*, fields: CheckFields, now: datetime, count: int) -> list[Preview]:
    """Return the next expected times of an unsaved passive check, as if its first ping came now."""
    options = KINDS[fields.kind].parse(fields.target, fields.options)
    return preview(options, fields.interval_s * 1000, after=to_ms(now), count=count)


def due_times_of(*, check: Check, row: CheckState, now: datetime, count: int) -> list[Preview]:
    """Return the next expected times of a passive check, counted from its last signal; empty while it is paused."""
    if check.is_paused:
        return []
    options = KINDS[check.kind].parse(check.target, check.options)
    wait = HeartbeatState.read(row.wait)
    # While a run is open or a signal is overdue, the last signal does not tell the next one: count from now.
    after = to_ms(now) if wait.anchor is None or wait.begun or (row.deadline or 0) < to_ms(now) else wait.anchor
    return preview(options, check.interval_ms, after=after, count=count)


def incidents_of(*, organization: Organization, project: Project | None) -> QuerySet[Incident]:
    """Return the incidents that a caller may see, with the relations that a list shows."""
    incidents = Incident.objects.filter(organization=organization).select_related("acknowledged_by")
    return incidents if project is None else incidents.filter(project=project)


def downtimes_ms(*, incidents: Sequence[Incident], now: datetime) -> dict[uuid.UUID, int]:
    """Return the downtime of each incident in ms: stored for resolved ones, computed up to now for open ones.

    Runs at most two queries.
    """
    counted = {incident.pk: incident.downtime_ms for incident in incidents}
    open_ones = [i for i in incidents if i.status != Incident.Status.RESOLVED and i.check_row_id is not None]
    if not open_ones:
        return counted
    due = CheckState.objects.filter(check_row_id__in=[i.check_row_id for i in open_ones]).values_list("check_row_id", "due")
    ends = {check_id: min(slot, to_ms(now)) for check_id, slot in due}
    spans = shown_spans(until=ends, start=min(to_ms(i.started_at) for i in open_ones))
    for incident in open_ones:
        start = to_ms(incident.started_at)
        assert incident.check_row_id is not None
        down = (span for span in spans.get(incident.check_row_id, ()) if span.state == "down" and span.end > start)
        counted[incident.pk] = sum(span.end - max(span.start, start) for span in down)
    return counted


def downtime_ms(*, incident: Incident, now: datetime) -> int:
    return downtimes_ms(incidents=[incident], now=now)[incident.pk]
