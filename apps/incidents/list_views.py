"""What lists of checks and resources show, a page at a time, in a fixed number of queries."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, QuerySet

from apps.core.clock import to_ms
from apps.incidents.history import histories, looked_back, uptime_of
from apps.incidents.machine import SLACK_MS, verdict
from apps.incidents.project_summary import ProjectSummary, wrong_checks, wrong_resources
from apps.incidents.rows import policy_of
from apps.incidents.selectors import ShownState, open_pauses, rank_now, shown_state, status_now
from apps.incidents.words import worst
from apps.monitors.models import Check, Region, Resource
from apps.orgs.models import Project
from apps.probes.reasons import MEANINGS, Reason
from apps.results import latency
from apps.results.bars import Bar, bar_of
from apps.results.failing_regions import failing_regions
from apps.results.latency import Percentiles
from apps.results.selectors import SeenRun, recent_runs
from apps.results.uptime import WORST_FIRST, Span, Uptime, add_up, worst_of

HALF_HOUR_MS = 1_800_000
_HALF_HOURS = 48
_GOOD = ("up", "degraded")
DAY = timedelta(days=1)


def checks_of(*, project: Project, now: datetime) -> QuerySet[Any]:
    """With the `rank` of the status that readers are told now: orders and filters of thousands."""
    return Check.objects.filter(project=project, deleted_at=None).annotate(rank=rank_now(now))


def worst_checks(*, project: Project, limit: int, now: datetime) -> list[tuple[Check, ShownState]]:
    """What is wrong: the worst first, of equals the newest."""
    ids = wrong_checks(project=project, limit=limit, now=now)
    checks: list[Check] = in_order(Check.objects.select_related("state"), ids)
    pauses = open_pauses(checks)
    return [(c, shown_state(check=c, row=c.state, pause=pauses.get(c.id), now=now)) for c in checks]


def in_order(rows: QuerySet[Any], ids: Sequence[uuid.UUID]) -> list[Any]:
    """The rows of these ids in their order; one that was deleted meanwhile is left out."""
    found = rows.in_bulk(ids)
    return [found[pk] for pk in ids if pk in found]


# --- beats


class Beat(NamedTuple):
    """One pill: a round of a check. A tuple, for a list makes a thousand of them."""

    slot: int
    state: str
    latency_ms: int | None = None
    message: str = ""
    regions: tuple[tuple[int, int, str], ...] = ()
    """(region, latency, verdict) where there are several."""


def beats_of(runs: Sequence[SeenRun], check: Check, *, count: int, now: datetime) -> list[Beat]:
    """The last rounds of runs in the order of slots. One that a vote to come could still change is not shown yet."""
    policy, now_ms = policy_of(check), to_ms(now)
    rounds: dict[int, list[SeenRun]] = defaultdict(list)
    for run in runs:
        rounds[run.slot].append(run)
    beats = []
    for slot, votes in list(rounds.items())[-count:]:
        sides = {vote.region_id: vote.verdict for vote in votes}
        is_over = now_ms > slot + policy.timeout + SLACK_MS
        if len(check.region_ids) == 1:
            found: str | None = votes[0].verdict
        else:
            found = verdict(sides, policy, sorted(sides) if is_over else check.region_ids, is_over=is_over)
        if found is not None:
            beats.append(_beat(slot, votes, found))
    return beats


def _beat(slot: int, votes: Sequence[SeenRun], found: str) -> Beat:
    state = "degraded" if found == "split" else found
    if len(votes) == 1:  # nearly every beat of nearly every list
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
    """The latest rounds of a check in their places in time."""

    bar: Bar
    beats: Mapping[int, Beat]
    """By the index of their cell: the worst of those in it. A cell without one shows what is known of that time."""


def run_bar(beats: Sequence[Beat], spans: Sequence[Span], *, width: int, count: int, phase: int) -> RunBar:
    """`count` cells of `width` ms up to the last moment of which something is known; `phase` is where a cell begins."""
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
    """The last 24 hours by half-hours: the bar of every list."""
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
    fails_from: Sequence[str] = ()
    """Regions that see it down while it counts as up or degraded."""


def regions_that_fail(runs: Sequence[SeenRun], check: Check, slugs: Mapping[int, str]) -> list[str]:
    """The slugs of the regions from which a check of several fails now; none where all of them agree."""
    if len(check.region_ids) == 1:
        return []
    failing = failing_regions(runs, region_ids=check.region_ids, interval_ms=check.interval_ms)
    return [slugs[region] for region in failing if region in slugs] if len(failing) < len(check.region_ids) else []


def check_lines(*, check_ids: Sequence[uuid.UUID], now: datetime) -> list[CheckLine]:
    """In the order of the ids. The newest runs are read only of checks with several regions, to name those that fail."""
    checks: list[Check] = in_order(Check.objects.select_related("state"), check_ids)
    ids = [check.id for check in checks]
    pauses = open_pauses(checks)
    spread = [check for check in checks if len(check.region_ids) > 1]
    widest = max((len(check.region_ids) for check in spread), default=0)
    runs = recent_runs(wanted=looked_back(spread), count=2 * widest, now_ms=to_ms(now)) if spread else {}
    slugs = dict(Region.objects.values_list("id", "slug")) if spread else {}
    spans = histories(checks=checks, start=now - DAY, end=now)
    points = latency.summary(check_ids=ids, start=to_ms(now - DAY), end=to_ms(now))
    return [
        CheckLine(
            check=check,
            state=shown_state(check=check, row=check.state, pause=pauses.get(check.id), now=now),
            bar=day_bar(spans[check.id], now=now),
            uptime=uptime_of(spans[check.id], check=check, start=now - DAY, end=now),
            latency=points.get(check.id),
            fails_from=regions_that_fail(runs.get(check.id, ()), check, slugs),
        )
        for check in checks
    ]


# --- resources of a list


@dataclass(frozen=True)
class ResourceLine:
    resource: Resource
    status: str
    checks: int
    only_check: uuid.UUID | None
    bar: Bar
    uptime: Uptime
    latency: Percentiles | None


def resources_by_name(*, project: Project, search: str = "") -> QuerySet[Any]:
    """Ids of the resources with a check; an index has them in this order."""
    is_watched = Exists(Check.objects.filter(resource=OuterRef("pk"), deleted_at=None))
    rows = Resource.objects.filter(is_watched, project=project, **({"name__icontains": search} if search else {}))
    return rows.order_by("name", "pk").values_list("pk", flat=True)


def resources_by_rank(
    *, project: Project, known: ProjectSummary, search: str, start: int, stop: int, now: datetime
) -> list[uuid.UUID]:
    """A part of them: what is wrong, the worst first, then the others by name.

    To sort ten thousand takes as long as all else of a page. It is spared: mostly few are wrong, or all alike.
    """
    named = resources_by_name(project=project, search=search)
    if not known.wrong or len(known.counts) == 1:
        return list(named[start:stop])
    wrong = wrong_resources(project=project, now=now)
    if search:
        found = set(named.filter(pk__in=wrong))
        wrong = [pk for pk in wrong if pk in found]
    if stop <= len(wrong):
        return wrong[start:stop]
    return [*wrong[start:], *named.exclude(pk__in=wrong)[max(0, start - len(wrong)) : stop - len(wrong)]]


def count_resources(*, project: Project, search: str = "") -> int:
    """How many there are of them."""
    checks = Check.objects.filter(project=project, deleted_at=None)
    checks = checks.filter(resource__name__icontains=search) if search else checks
    return checks.values("resource_id").distinct().count()


def resource_lines(*, resource_ids: Sequence[uuid.UUID], now: datetime) -> list[ResourceLine]:
    """In the order of the ids; one that has no check any more is left out."""
    looked_at = Check.objects.filter(resource__in=resource_ids, deleted_at=None).select_related("resource", "state")
    checks = list(looked_at.annotate(status=status_now(now)))
    of: dict[uuid.UUID, list[Check]] = defaultdict(list)
    for check in checks:
        of[check.resource_id].append(check)
    spans = histories(checks=checks, start=now - DAY, end=now)
    points = latency.summary(check_ids=[check.id for check in checks], start=to_ms(now - DAY), end=to_ms(now))
    return [_resource_line(of[pk], spans, points, now) for pk in resource_ids if pk in of]


def _resource_line(
    checks: Sequence[Check],
    spans: Mapping[uuid.UUID, list[Span]],
    points: Mapping[uuid.UUID, Percentiles],
    now: datetime,
) -> ResourceLine:
    shown = worst_of([spans[check.id] for check in checks])
    lived = add_up(shown, to_ms(max(now - DAY, min(check.created_at for check in checks))), to_ms(now))
    return ResourceLine(
        resource=checks[0].resource,
        status=worst([check.status for check in checks]),  # type: ignore[attr-defined]  # annotated by the caller
        checks=len(checks),
        only_check=checks[0].id if len(checks) == 1 else None,
        bar=day_bar(shown, now=now),
        uptime=lived,
        latency=max((points[c.id] for c in checks if c.id in points), key=lambda point: point.p95 or 0.0, default=None),
    )
