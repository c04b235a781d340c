"""What lists of checks and resources show, a page at a time, in a fixed number of queries."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import Case, Count, Func, IntegerField, Max, Min, QuerySet, Sum, TextField, Value

from apps.core.clock import from_ms, to_ms
from apps.incidents.history import histories, uptime_of
from apps.incidents.machine import SLACK_MS, verdict
from apps.incidents.models import CheckState, Incident
from apps.incidents.rows import policy_of
from apps.incidents.selectors import ShownState, open_pauses, shown_state, status_now
from apps.incidents.words import RANKS, worst
from apps.monitors.models import Check, Resource
from apps.orgs.models import Project
from apps.probes.reasons import MEANINGS, Reason
from apps.results import latency
from apps.results.latency import Percentiles
from apps.results.selectors import SeenRun, recent_runs
from apps.results.uptime import Span, add_up, worst_in, worst_of

HALF_HOUR_MS = 1_800_000
_LIVELY, _CALM_MS = 300, 5_000
DAY = timedelta(days=1)


# --- a project in one line


@dataclass(frozen=True)
class Summary:
    """How a project is. `version` changes whenever something that a list shows may have."""

    counts: dict[str, int]
    open_incidents: int
    version: str

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def worst(self) -> str:
        return worst([status for status, number in self.counts.items() if number and status != "paused"])


def summary(*, project: Project, now: datetime) -> Summary:
    """Two queries, whatever the size of the project."""
    checks = active_checks(project=project, now=now).order_by()
    sums = checks.values("status").annotate(
        number=Count("pk"), slot=Max("state__slot"), since=Max("state__since"), revisions=Sum("revision")
    )
    rows = sorted(sums, key=lambda row: RANKS[row["status"]])
    incidents = Incident.objects.filter(project=project).exclude(status=Incident.Status.RESOLVED)
    known = incidents.aggregate(number=Count("pk"), newest=Max("started_at"), seen=Max("acknowledged_at"))
    # In a large project something settles at every moment: there, results alone make a new version every few seconds.
    step = 1 if sum(row["number"] for row in rows) <= _LIVELY else _CALM_MS
    states = [(row["status"], row["number"], row["slot"] // step, row["since"], row["revisions"]) for row in rows]
    parts = [*states, known["number"], known["newest"], known["seen"]]
    version = str(uuid.uuid5(uuid.NAMESPACE_OID, repr(parts)))
    return Summary({row["status"]: row["number"] for row in rows}, known["number"], version)


def active_checks(*, project: Project, now: datetime) -> QuerySet[Any]:
    """With `status` as readers are told it now."""
    return Check.objects.filter(project=project, deleted_at=None).annotate(status=status_now(now))


def by_rank(status: Case) -> Func:
    """The rank of a status expression, worst first; the expression is worked out once."""
    return Func(Value(list(RANKS), ArrayField(TextField())), status, function="array_position", output_field=IntegerField())


# --- beats


@dataclass(frozen=True)
class Beat:
    """One pill: a round of a check, or a stretch of time."""

    start: int
    state: str
    latency_ms: int | None = None
    message: str = ""
    end: int | None = None
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
    bad = next((vote for vote in votes if vote.reason), None)
    message = (bad.message or MEANINGS[Reason(bad.reason)].words) if bad is not None and bad.reason else ""
    good = [vote.duration_ms for vote in votes if vote.verdict in ("up", "degraded")]
    regions = tuple((vote.region_id, vote.duration_ms, vote.verdict) for vote in votes) if len(votes) > 1 else ()
    return Beat(slot, state, max(good, default=None), message, regions=regions)


def stretches(spans: Sequence[Span], *, start: int, width: int, count: int) -> list[Beat]:
    """Time as pills of equal length, each as bad as the worst in it."""
    states = worst_in(spans, start=start, width=width, count=count)
    return [Beat(start + n * width, state or "none", end=start + (n + 1) * width) for n, state in enumerate(states)]


# --- checks of a list


@dataclass(frozen=True)
class CheckLine:
    check: Check
    state: ShownState
    beats: list[Beat]
    uptime: float | None
    latency: Percentiles | None


def states_of(*, checks: Sequence[Check], now: datetime) -> list[tuple[Check, ShownState]]:
    """Of checks that were loaded with their `state`."""
    pauses = open_pauses([check.id for check in checks])
    return [(c, shown_state(check=c, row=c.state, pause=pauses.get(c.id), now=now)) for c in checks]


def check_lines(*, checks: Sequence[Check], beat_count: int, now: datetime) -> list[CheckLine]:
    ids = [check.id for check in checks]
    rows = CheckState.objects.in_bulk(ids)
    pauses = open_pauses(ids)
    widest = max((len(check.region_ids) for check in checks), default=1)
    runs = recent_runs(check_ids=ids, count=(beat_count + 1) * widest, now_ms=to_ms(now))
    spans = histories(checks=checks, rows=rows, start=now - DAY, end=now)
    points = latency.summary(check_ids=ids, start=to_ms(now - DAY), end=to_ms(now))
    return [
        CheckLine(
            check=check,
            state=shown_state(check=check, row=rows[check.id], pause=pauses.get(check.id), now=now),
            beats=beats_of(runs[check.id], check, count=beat_count, now=now),
            uptime=uptime_of(spans[check.id], check=check, start=now - DAY, end=now).ratio,
            latency=points.get(check.id),
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
    beats: list[Beat]
    uptime: float | None
    latency: Percentiles | None


def resources_of(*, project: Project, now: datetime, search: str = "") -> QuerySet[Any]:
    """(resource, name) of those with a check, worst first: narrow rows, for there may be ten thousand."""
    checks = Check.objects.filter(project=project, deleted_at=None)
    if search:
        checks = checks.filter(resource__name__icontains=search)
    ranked = checks.values("resource_id", "resource__name").annotate(rank=Min(by_rank(status_now(now))))
    return ranked.order_by("rank", "resource__name", "resource_id").values_list("resource_id", flat=True)


def resource_lines(*, resource_ids: Sequence[uuid.UUID], now: datetime) -> list[ResourceLine]:
    known = Resource.objects.in_bulk(resource_ids)
    resources = [known[pk] for pk in resource_ids]
    checks = list(Check.objects.filter(resource__in=resource_ids, deleted_at=None).annotate(status=status_now(now)))
    of: dict[uuid.UUID, list[Check]] = defaultdict(list)
    for check in checks:
        of[check.resource_id].append(check)
    rows = CheckState.objects.in_bulk([check.id for check in checks])
    start = from_ms((to_ms(now) // HALF_HOUR_MS - 47) * HALF_HOUR_MS)
    spans = histories(checks=checks, rows=rows, start=min(start, now - DAY), end=now)
    points = latency.summary(check_ids=[check.id for check in checks], start=to_ms(now - DAY), end=to_ms(now))
    return [_resource_line(resource, of[resource.pk], spans, points, start, now) for resource in resources]


def _resource_line(
    resource: Resource,
    checks: Sequence[Check],
    spans: Mapping[uuid.UUID, list[Span]],
    points: Mapping[uuid.UUID, Percentiles],
    start: datetime,
    now: datetime,
) -> ResourceLine:
    shown = worst_of([spans[check.id] for check in checks])
    lived = add_up(shown, to_ms(max(now - DAY, min(check.created_at for check in checks))), to_ms(now))
    return ResourceLine(
        resource=resource,
        status=worst([check.status for check in checks]),  # type: ignore[attr-defined]  # annotated by the caller
        checks=len(checks),
        only_check=checks[0].id if len(checks) == 1 else None,
        beats=stretches(shown, start=to_ms(start), width=HALF_HOUR_MS, count=48),
        uptime=lived.ratio,
        latency=max((points[c.id] for c in checks if c.id in points), key=lambda point: point.p95 or 0.0, default=None),
    )
