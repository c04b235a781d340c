"""Check state over time: shown intervals, overlaid with pauses and missing data, and the uptime computed from them."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.core.clock import DAY_MS, from_ms, to_ms
from apps.incidents.machine import unknown_from
from apps.incidents.rows import policy_of, state_of
from apps.monitors.models import Check, Pause
from apps.probes.registry import PASSIVE
from apps.results.daily_sums import day_sums
from apps.results.selectors import RecentRunsQuery, shown_spans
from apps.results.uptime import Span, Uptime, add_up, overlay, summed

_RARE_MS = 90 * DAY_MS
_FIGURES_DAYS = (1, 7, 30, 90)
_WHOLE_SHARE = 0.95
_GAPS = 8
"""With more gaps than this between summed days, reading all intervals at once takes less time."""


def histories(*, checks: Sequence[Check], start: datetime, end: datetime) -> dict[uuid.UUID, list[Span]]:
    """Return each check's spans within [start, end), beginning at its creation at the earliest.

    They end at the first unsettled slot; if its result is overdue, the time after it is `unknown`. Runs two queries.
    The checks must have been loaded with their `state`.
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
    """Return the milliseconds per state within [start, end): whole days from day sums, the rest from intervals."""
    begin, until = max(to_ms(start), to_ms(check.created_at)), to_ms(end)
    pauses = _pauses([check.pk], begin, until)[check.pk]
    days = [
        day for day in day_sums(check_id=check.pk, start=begin, end=until)
        if not any(pause.start < day.day + DAY_MS and pause.end > day.day for pause in pauses)
    ]  # fmt: skip
    edges = [begin, *(edge for day in days for edge in (day.day, day.day + DAY_MS)), until]
    gaps = [(gap, edge) for gap, edge in zip(edges[::2], edges[1::2], strict=True) if gap < edge]
    if not days or len(gaps) > _GAPS:
        return uptime_of(histories(checks=[check], start=start, end=end)[check.pk], check=check, start=start, end=end)
    parts = [
        uptime_of(
            histories(checks=[check], start=from_ms(gap), end=from_ms(edge))[check.pk],
            check=check,
            start=from_ms(gap),
            end=from_ms(edge),
        )
        for gap, edge in gaps
    ]
    whole = [
        Uptime(day.day, day.day + DAY_MS, up=day.up, degraded=day.degraded, down=day.down, unknown=day.unknown) for day in days
    ]
    return summed([*parts, *whole])


def uptime_of(spans: Sequence[Span], *, check: Check, start: datetime, end: datetime) -> Uptime:
    """Sum the spans that `histories` returned for a range that contains [start, end)."""
    begin, until = max(to_ms(start), to_ms(check.created_at)), to_ms(end)
    if until <= begin:
        return Uptime(begin, begin)
    return add_up(spans, begin, max([begin, *(min(span.end, until) for span in spans)]))


@dataclass(frozen=True)
class UptimeFigure:
    """Uptime over the last `days` days, as a page shows it."""

    days: int
    uptime: Uptime | None
    """None if the check is not older than the next shorter figure's span, so that this one would repeat it."""

    @property
    def is_partial(self) -> bool:
        """Return whether more than 5 % of the span has no data, so that the page names the part it covers."""
        return self.uptime is not None and self.uptime.seen < _WHOLE_SHARE * self.days * DAY_MS


def uptime_figures(spans: Sequence[Span], *, check: Check, now: datetime) -> list[UptimeFigure]:
    """Return the figures of a check's page from spans that `histories` returned for at least 90 days."""
    figures, shorter = [], 0
    for days in _FIGURES_DAYS:
        is_older = now - check.created_at > timedelta(days=shorter)
        uptime = uptime_of(spans, check=check, start=now - timedelta(days=days), end=now) if is_older else None
        figures.append(UptimeFigure(days, uptime))
        shorter = days
    return figures


def recent_runs_queries(checks: Iterable[Check]) -> list[RecentRunsQuery]:
    """Return how far back to look for each check's newest runs: 90 days for heartbeats, which may be rare."""
    return [RecentRunsQuery(check.pk, _RARE_MS) if check.kind in PASSIVE else RecentRunsQuery(check.pk) for check in checks]


def _pauses(check_ids: Sequence[uuid.UUID], start: int, end: int) -> dict[uuid.UUID, list[Span]]:
    spans: dict[uuid.UUID, list[Span]] = defaultdict(list)
    rows = Pause.objects.filter(check_row_id__in=check_ids, from_ms__lt=end).exclude(until_ms__lte=start).order_by("from_ms")
    for pause in rows:
        span = Span(max(pause.from_ms, start), min(pause.until_ms or end, end), "paused")
        if span.end > span.start:
            spans[pause.check_row_id].append(span)
    return spans
