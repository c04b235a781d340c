"""Rows for lists of checks and resources: one page at a time, in a fixed number of queries."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, QuerySet

from apps.core.clock import HOUR_MS, to_ms
from apps.incidents.history import histories, recent_runs_queries, uptime_of
from apps.incidents.labels import RANKS
from apps.incidents.machine import overdue_after, verdict
from apps.incidents.project_summary import ProjectSummary, problem_checks, problem_resources
from apps.incidents.rows import policy_of
from apps.incidents.selectors import ShownState, open_pauses, shown_state
from apps.monitors.models import Check, Region, Resource
from apps.orgs.models import Project
from apps.probes.reasons import MEANINGS, Reason
from apps.probes.registry import PASSIVE
from apps.results import latency
from apps.results.bars import Bar, bar_of
from apps.results.failing_regions import failing_regions
from apps.results.latency import Percentiles
from apps.results.selectors import SeenRun, recent_runs
from apps.results.uptime import WORST_FIRST, Span, Uptime, add_up, worst_of

HALF_HOUR_MS = HOUR_MS // 2
_HALF_HOURS = 48
_GOOD = ("up", "degraded")
DAY = timedelta(days=1)


def worst_checks(*, project: Project, limit: int, now: datetime) -> list[tuple[Check, ShownState]]:
    """Return the checks that need attention: worst status first, then the most recent change."""
    ids = problem_checks(project=project, limit=limit, now=now)
    checks: list[Check] = in_order(Check.objects.select_related("state"), ids)
    pauses = open_pauses(checks)
    return [(c, shown_state(check=c, row=c.state, pause=pauses.get(c.id), now=now)) for c in checks]


def in_order(rows: QuerySet[Any], ids: Sequence[uuid.UUID]) -> list[Any]:
    """Return the rows with these ids in the same order; rows deleted in the meantime are left out."""
    found = rows.in_bulk(ids)
    return [found[pk] for pk in ids if pk in found]


# --- beats


class Beat(NamedTuple):
    """One cell of a beat bar: a round of a check. A NamedTuple, because a list page creates a thousand of them."""

    slot: int
    state: str
    latency_ms: int | None = None
    message: str = ""
    regions: tuple[tuple[int, int, str], ...] = ()
    """(region id, latency in ms, verdict) per region; empty if the round has one region only."""


def beats_of(runs: Sequence[SeenRun], check: Check, *, count: int, now: datetime) -> list[Beat]:
    """Return the last `count` rounds in slot order. Rounds that a missing vote could still change are left out."""
    policy, now_ms = policy_of(check), to_ms(now)
    rounds: dict[int, list[SeenRun]] = defaultdict(list)
    for run in runs:
        rounds[run.slot].append(run)
    beats = []
    for slot, votes in list(rounds.items())[-count:]:
        sides = {vote.region_id: vote.verdict for vote in votes}
        is_over = now_ms > overdue_after(slot, policy)
        if len(check.region_ids) == 1:
            found: str | None = votes[0].verdict
        else:
            found = verdict(sides, policy, sorted(sides) if is_over else check.region_ids, is_over=is_over)
        if found is not None:
            beats.append(_beat(slot, votes, found))
    return beats


def _beat(slot: int, votes: Sequence[SeenRun], found: str) -> Beat:
    state = "degraded" if found == "split" else found
    if len(votes) == 1:  # fast path: most checks have one region
        only = votes[0]
        return Beat(slot, state, only.duration_ms if only.verdict in _GOOD else None, _said(only))
    bad = next((vote for vote in votes if vote.reason), None)
    latency_ms = max((vote.duration_ms or 0 for vote in votes if vote.verdict in _GOOD), default=None)
    figures = tuple((vote.region_id, vote.duration_ms or 0, vote.verdict) for vote in votes)
    return Beat(slot, state, latency_ms, _said(bad) if bad else "", figures)


def _said(run: SeenRun) -> str:
    return (run.message or MEANINGS[Reason(run.reason)].words) if run.reason else ""


@dataclass(frozen=True)
class RunBar:
    """A bar of a check's latest rounds, each placed by its time."""

    bar: Bar
    beats: Mapping[int, Beat]
    """The worst beat of each cell, by cell index. A cell without a beat shows the state intervals instead."""


def run_bar(beats: Sequence[Beat], spans: Sequence[Span], *, width: int, count: int, phase: int) -> RunBar:
    """Return `count` cells of `width` ms that end at the last known moment; cells begin at `phase` + n * `width`."""
    newest = max([beat.slot for beat in beats[-1:]] + [span.end - 1 for span in spans[-1:]], default=0)
    start = newest - (newest - phase) % width - (count - 1) * width
    bar = bar_of(spans, start=start, width=width, count=count)
    cells = list(bar.cells)
    placed: dict[int, Beat] = {}
    for beat in beats:
        index = (beat.slot - start) // width
        if index >= 0 and (index not in placed or WORST_FIRST.index(beat.state) < WORST_FIRST.index(placed[index].state)):
            placed[index] = beat
            cells[index] = {beat.state: width}
    return RunBar(Bar(start, width, cells), placed)


def day_bar(spans: Sequence[Span], *, now: datetime) -> Bar:
    """Return the last 24 hours in half-hour cells, the bar that every list shows."""
    start = (to_ms(now) // HALF_HOUR_MS - _HALF_HOURS + 1) * HALF_HOUR_MS
    return bar_of(spans, start=start, width=HALF_HOUR_MS, count=_HALF_HOURS)


# --- checks of a list


@dataclass(frozen=True)
class CheckLine:
    check: Check
    state: ShownState
    bar: Bar
    uptime: Uptime
    latency: Percentiles | None
    medians: Sequence[float | None] = ()
    """The median latency (ms) of each of the last 24 hours, oldest first; None for hours without any."""
    failing_regions: Sequence[str] = ()
    """Slugs of the regions from which it fails now, if it does not fail from all of them."""


def failing_region_slugs(runs: Sequence[SeenRun], check: Check, slugs: Mapping[int, str]) -> list[str]:
    """Return the slugs of regions from which the check fails now; empty if all regions agree or there is only one."""
    if len(check.region_ids) == 1:
        return []
    failing = failing_regions(runs, region_ids=check.region_ids, interval_ms=check.interval_ms)
    return [slugs[region] for region in failing if region in slugs] if len(failing) < len(check.region_ids) else []


def check_lines(*, check_ids: Sequence[uuid.UUID], now: datetime) -> list[CheckLine]:
    """Return list rows in the order of the ids.

    Runs are read only for checks with several regions, to name the regions that fail.
    """
    checks: list[Check] = in_order(Check.objects.select_related("state"), check_ids)
    ids = [check.id for check in checks]
    pauses = open_pauses(checks)
    spread = [check for check in checks if len(check.region_ids) > 1]
    widest = max((len(check.region_ids) for check in spread), default=0)
    runs = recent_runs(wanted=recent_runs_queries(spread), count=2 * widest, now_ms=to_ms(now)) if spread else {}
    slugs = dict(Region.objects.values_list("id", "slug")) if spread else {}
    spans = histories(checks=checks, start=now - DAY, end=now)
    points = latency.by_hour(check_ids=ids, start=to_ms(now - DAY), end=to_ms(now))
    this_hour = to_ms(now) // HOUR_MS * HOUR_MS
    hours = [this_hour - ago * HOUR_MS for ago in reversed(range(24))]
    return [
        CheckLine(
            check=check,
            state=shown_state(check=check, row=check.state, pause=pauses.get(check.id), now=now),
            bar=day_bar(spans[check.id], now=now),
            uptime=uptime_of(spans[check.id], check=check, start=now - DAY, end=now),
            latency=points[check.id].whole if check.id in points else None,
            medians=[points[check.id].medians.get(hour) for hour in hours] if check.id in points else (),
            failing_regions=failing_region_slugs(runs.get(check.id, ()), check, slugs),
        )
        for check in checks
    ]


MOST_MEASURED = 1_000
"""Checks that a list sorts by what was measured of them, all of which is read for it."""


def by_latency(*, checks: QuerySet[Check], is_descending: bool, now: datetime) -> list[uuid.UUID]:
    """Return the ids of at most `MOST_MEASURED` checks by p95 of the last 24 hours, those without any last."""
    ids = list(checks.order_by("name", "pk").values_list("pk", flat=True)[:MOST_MEASURED])
    points = latency.summary(check_ids=ids, start=to_ms(now - DAY), end=to_ms(now))
    return _by_figure({pk: points[pk].p95 if pk in points else None for pk in ids}, is_descending)


def by_uptime(*, checks: QuerySet[Check], is_descending: bool, now: datetime) -> list[uuid.UUID]:
    """Return the ids of at most `MOST_MEASURED` checks by uptime of the last 24 hours, those without any last."""
    rows = list(checks.select_related("state").order_by("name", "pk")[:MOST_MEASURED])
    spans = histories(checks=rows, start=now - DAY, end=now)
    figures = {check.pk: uptime_of(spans[check.pk], check=check, start=now - DAY, end=now).ratio for check in rows}
    return _by_figure(figures, is_descending)


def _by_figure(figures: Mapping[uuid.UUID, float | None], is_descending: bool) -> list[uuid.UUID]:
    known = {pk: figure for pk, figure in figures.items() if figure is not None}
    ranked = sorted(known, key=known.__getitem__, reverse=is_descending)
    return [*ranked, *(pk for pk in figures if pk not in known)]


# --- resources of a list


@dataclass(frozen=True)
class ResourceLine:
    resource: Resource
    state: ShownState
    """That of the check that is worst."""
    checks: int
    bar: Bar
    uptime: Uptime
    latency: Percentiles | None


def resources_by_name(*, project: Project, search: str = "") -> QuerySet[Any]:
    """Return the ids of resources that have a check, by name; an index covers this order."""
    is_watched = Exists(Check.objects.live().filter(resource=OuterRef("pk")))
    rows = Resource.objects.filter(is_watched, project=project, **({"name__icontains": search} if search else {}))
    return rows.order_by("name", "pk").values_list("pk", flat=True)


def resources_by_rank(
    *, project: Project, known: ProjectSummary, search: str, start: int, stop: int, now: datetime
) -> list[uuid.UUID]:
    """Return ids [start:stop] of the resources with checks: those with problems, worst first, then the rest by name.

    Sorting ten thousand resources by status takes as long as the rest of the page. It is avoided, as usually few have
    problems or all have the same status.
    """
    named = resources_by_name(project=project, search=search)
    if not known.problems or len(known.counts) == 1:
        return list(named[start:stop])
    wrong = problem_resources(project=project, now=now)
    if search:
        found = set(named.filter(pk__in=wrong))
        wrong = [pk for pk in wrong if pk in found]
    if stop <= len(wrong):
        return wrong[start:stop]
    return [*wrong[start:], *named.exclude(pk__in=wrong)[max(0, start - len(wrong)) : stop - len(wrong)]]


def count_resources(*, project: Project, search: str = "") -> int:
    """Return the number of resources that have a check, optionally of those whose name contains `search`."""
    checks = Check.objects.live().filter(project=project)
    checks = checks.filter(resource__name__icontains=search) if search else checks
    return checks.values("resource_id").distinct().count()


def resource_lines(*, resource_ids: Sequence[uuid.UUID], now: datetime) -> list[ResourceLine]:
    """Return list rows in the order of the ids; resources that have no check any more are left out."""
    looked_at = Check.objects.live().filter(resource__in=resource_ids).select_related("resource", "state")
    checks = list(looked_at)
    of: dict[uuid.UUID, list[Check]] = defaultdict(list)
    for check in checks:
        of[check.resource_id].append(check)
    spans = histories(checks=checks, start=now - DAY, end=now)
    pauses = open_pauses(checks)
    states = {c.pk: shown_state(check=c, row=c.state, pause=pauses.get(c.pk), now=now) for c in checks}
    active = [check.id for check in checks if check.kind not in PASSIVE]  # the runtime of a job is not a latency
    points = latency.summary(check_ids=active, start=to_ms(now - DAY), end=to_ms(now))
    return [_resource_line(of[pk], states, spans, points, now) for pk in resource_ids if pk in of]


def _resource_line(
    checks: Sequence[Check],
    states: Mapping[uuid.UUID, ShownState],
    spans: Mapping[uuid.UUID, list[Span]],
    points: Mapping[uuid.UUID, Percentiles],
    now: datetime,
) -> ResourceLine:
    shown = worst_of([spans[check.id] for check in checks])
    lived = add_up(shown, to_ms(max(now - DAY, min(check.created_at for check in checks))), to_ms(now))
    return ResourceLine(
        resource=checks[0].resource,
        state=min((states[c.pk] for c in checks), key=lambda state: (RANKS[state.status], state.is_unconfirmed)),
        checks=len(checks),
        bar=day_bar(shown, now=now),
        uptime=lived,
        latency=max((points[c.id] for c in checks if c.id in points), key=lambda point: point.p95 or 0.0, default=None),
    )
