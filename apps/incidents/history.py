"""What state checks were in, over time: intervals with pauses and silence laid over them, and the uptime that follows."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from apps.core.clock import to_ms
from apps.incidents.machine import unknown_from
from apps.incidents.rows import policy_of, state_of
from apps.monitors.models import Check, Pause
from apps.probes.registry import PASSIVE
from apps.results.runs import DAY_MS
from apps.results.selectors import Wanted, shown_spans
from apps.results.uptime import Span, Uptime, add_up, overlay

_RARE_MS = 90 * DAY_MS


def histories(*, checks: Sequence[Check], start: datetime, end: datetime) -> dict[uuid.UUID, list[Span]]:
    """Each check's spans within [start, end), never before its creation and not beyond what readers may know.

    Two queries, of checks that were loaded with their `state`.
    """
    begin, until = to_ms(start), to_ms(end)
    settled = {check.id: min(until, check.state.due) for check in checks}
    shown = shown_spans(until=settled, start=begin)
    pauses = _pauses([check.id for check in checks], begin, until)
    found = {}
    for check in checks:
        created = to_ms(check.created_at)
        spans = [Span(max(s.start, created), s.end, s.state) for s in shown[check.id] if s.end > created]
        silent_from = max(settled[check.id], begin, created)
        if until > silent_from and unknown_from(state_of(check.state), policy_of(check), until) is not None:
            spans.append(Span(silent_from, until, "unknown"))
        found[check.id] = overlay(spans, pauses[check.id])
    return found


def uptime(*, check: Check, start: datetime, end: datetime) -> Uptime:
    """Milliseconds of each state within [start, end)."""
    spans = histories(checks=[check], start=start, end=end)[check.id]
    return uptime_of(spans, check=check, start=start, end=end)


def uptime_of(spans: Sequence[Span], *, check: Check, start: datetime, end: datetime) -> Uptime:
    """The sums of spans that `histories` gave for at least [start, end)."""
    begin, until = max(to_ms(start), to_ms(check.created_at)), to_ms(end)
    if until <= begin:
        return Uptime(begin, begin)
    return add_up(spans, begin, max([begin, *(min(span.end, until) for span in spans)]))


def looked_back(checks: Iterable[Check]) -> list[Wanted]:
    """How far back the newest runs of checks are looked for: heartbeats may be rare."""
    return [Wanted(check.pk, _RARE_MS) if check.kind in PASSIVE else Wanted(check.pk) for check in checks]


def _pauses(check_ids: Sequence[uuid.UUID], start: int, end: int) -> dict[uuid.UUID, list[Span]]:
    spans: dict[uuid.UUID, list[Span]] = defaultdict(list)
    rows = Pause.objects.filter(check_row_id__in=check_ids, from_ms__lt=end).exclude(until_ms__lte=start).order_by("from_ms")
    for pause in rows:
        span = Span(max(pause.from_ms, start), min(pause.until_ms or end, end), "paused")
        if span.end > span.start:
            spans[pause.check_row_id].append(span)
    return spans
