"""The list of checks, the page of a check with its runs and latency, and the actions on it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.core.clock import from_ms, to_ms
from apps.dashboard.access import ProjectContext, enter_check, enter_project, page
from apps.dashboard.heartbeats import beat_of
from apps.dashboard.lists import Chip, address, chips, is_uuid, of_query, ordered, paged, search_of, whole
from apps.dashboard.shell import is_current, nothing_new, show
from apps.incidents.history import histories, looked_back, uptime_of
from apps.incidents.list_views import beats_of, check_lines, checks_of, regions_that_fail
from apps.incidents.models import Incident
from apps.incidents.project_summary import summarize_project
from apps.incidents.selectors import open_pauses, shown_state
from apps.incidents.services import check_commands
from apps.incidents.words import RANKS, STATUSES
from apps.monitors.models import Check, Region
from apps.monitors.services import rotate_ping_secret
from apps.orgs.actors import Actor
from apps.orgs.models import Role
from apps.probes.registry import KINDS, PASSIVE
from apps.results import latency
from apps.results.models import VERDICTS, Certificate
from apps.results.runs import Asked, run_page, runs_within
from apps.results.selectors import last_facts, recent_runs, timed
from apps.results.uptime import cells


class _Command(Protocol):
    def __call__(self, *, actor: Actor, check_id: uuid.UUID, now: datetime) -> object: ...


_COLUMNS = {"status": "rank|Status", "name": "name|Name", "kind": "kind|Kind", "interval": "interval_s|Every"}
_RUNS_SHOWN = 20
_BEATS = 150
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_SPANS = {"24 h": 1, "7 d": 7, "30 d": 30, "90 d": 90}
RANGES = {
    "1h": (3_600_000, 60_000),
    "24h": (DAY_MS, 900_000),
    "7d": (7 * DAY_MS, 3_600_000),
    "30d": (30 * DAY_MS, 4 * 3_600_000),
    "90d": (90 * DAY_MS, DAY_MS),
}
"""Ranges of the latency chart: its length and the width of a point, in milliseconds."""


@page("GET", "POST")
def checks(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    place, now = enter_project(request, project), timezone.now()
    if request.method == "POST":
        return _bulk(request, place, now)
    known = summarize_project(project=place.project, now=now)
    if is_current(request, known.version):
        return nothing_new()
    rows = checks_of(project=place.project, now=now)
    wanted = {name: request.GET.get(name, "") for name in ("status", "kind", "region")}
    slugs = dict(Region.objects.probing().order_by("slug").values_list("slug", "id"))
    search = search_of(request)
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(target__icontains=search))
    if wanted["status"] in STATUSES:
        rows = rows.filter(rank=RANKS[wanted["status"]])
    if wanted["kind"] in KINDS:
        rows = rows.filter(kind=wanted["kind"])
    if wanted["region"] in slugs:
        rows = rows.filter(region_ids__contains=[slugs[wanted["region"]]])
    order, columns = ordered(request, _COLUMNS, "status")
    is_whole = not search and not any(wanted.values())
    if order.endswith("rank") and (wanted["status"] or len(known.counts) == 1):
        order = "name"  # all have the same status, and an index has this order
    ids = rows.order_by(order, "name", "pk").values_list("pk", flat=True)
    pages = paged(request, of_query(ids), known.total if is_whole else rows.count())
    present = {status: word for status, word in STATUSES.items() if known.counts.get(status) or wanted["status"] == status}
    kinds = {name: kind.title for name, kind in KINDS.items()}
    context = {
        "pages": pages,
        "lines": check_lines(check_ids=pages.rows, beat_count=30, now=now),
        "columns": columns,
        "status_chips": chips(request, "status", present, known.counts),
        "other_chips": [
            *chips(request, "kind", kinds),
            *(chips(request, "region", {s: s for s in slugs}) if len(slugs) > 1 else []),
        ],
        "search": search,
        "is_filtered": not is_whole,
    }
    return show(
        request, place, "dashboard/checks.html", context,
        title="Checks", section="checks", now=now, known=known, version=known.version,
    )  # fmt: skip


_BULK: dict[str, tuple[_Command, str]] = {
    "pause": (check_commands.pause_check, "paused"),
    "resume": (check_commands.resume_check, "resumed"),
    "delete": (check_commands.delete_check, "deleted"),
}


def _bulk(request: HttpRequest, place: ProjectContext, now: datetime) -> HttpResponse:
    """Apply an action to the checks that are selected in the list. Deleting asks for confirmation first."""
    if not place.may_write:
        raise PermissionDenied
    asked = [text for text in request.POST.getlist("id") if is_uuid(text)]
    chosen = list(Check.objects.filter(project=place.project, deleted_at=None, pk__in=asked).order_by("name"))
    act = request.POST.get("act", "")
    back = redirect("checks-page", place.project.pk)
    if act not in _BULK or not chosen:
        return back
    if act == "delete" and not request.POST.get("sure"):
        return show(
            request, place, "dashboard/check_delete.html", {"checks": chosen}, title="Delete checks", section="checks", now=now
        )
    service, word = _BULK[act]
    for check in chosen:
        service(actor=place.actor, check_id=check.pk, now=now)
    messages.success(request, f"{len(chosen)} {'check' if len(chosen) == 1 else 'checks'} {word}.")
    return back


@page()
def check(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    place, found = enter_check(request, pk)
    now = timezone.now()
    runs = recent_runs(wanted=looked_back([found]), count=(_BEATS + 1) * max(1, len(found.region_ids)), now_ms=to_ms(now))[
        found.pk
    ]
    state = shown_state(check=found, row=found.state, pause=open_pauses([found]).get(found.pk), now=now)
    incidents = list(Incident.objects.filter(check_row=found).select_related("acknowledged_by").order_by("-started_at")[:5])
    newest = runs[-1].slot if runs else 0
    parts = (
        newest,
        len(runs),
        found.state.slot,
        found.state.pings,
        state.status,
        found.revision,
        found.name,
        [(i.pk, i.status) for i in incidents],
    )
    version = str(uuid.uuid5(uuid.NAMESPACE_OID, repr(parts)))
    if is_current(request, version):
        return nothing_new()
    slugs = dict(Region.objects.values_list("id", "slug"))
    start = now - timedelta(days=90)
    spans = histories(checks=[found], start=start, end=now)[found.pk]
    today = to_ms(now) // DAY_MS * DAY_MS
    since = to_ms(now) - looked_back([found])[0].back_ms
    last = runs_within(Asked(found.pk, since, to_ms(now) + DAY_MS), limit=_RUNS_SHOWN)
    by_region = latency.by_region(check_id=found.pk, start=to_ms(now) - DAY_MS, end=to_ms(now))
    chosen = _range(request, found, now)
    sight = None if found.kind in PASSIVE else last_facts(check_id=found.pk, now_ms=to_ms(now))
    certificate_id = next((run.certificate_id for run in last if run.certificate_id), None)
    context = {
        "check": found,
        "kind": KINDS[found.kind],
        "beat": beat_of(found, now, may_ping=place.may_write) if found.kind in PASSIVE else None,
        "state": state,
        "regions": [slugs[region] for region in found.region_ids if region in slugs],
        "slugs": slugs,
        "fails_from": regions_that_fail(runs, found, slugs),
        "beats": beats_of(runs, found, count=_BEATS, now=now),
        "spans": {
            name: uptime_of(spans, check=found, start=now - timedelta(days=days), end=now) for name, days in _SPANS.items()
        },
        "days": cells(spans, start=today - 89 * DAY_MS, width=DAY_MS, count=90),
        "range": chosen,
        "ranges": _range_chips(request, chosen),
        "by_region": [(slugs.get(region, "?"), point) for region, point in sorted(by_region.items())],
        "runs": run_lines(last, slugs),
        "last": last[0] if last else None,
        "sight": sight and run_lines([sight], slugs)[0],
        "certificate": certificate_id and _certificate(certificate_id, now),
        "incidents": incidents,
        "open_incident": next((incident for incident in incidents if incident.resolved_at is None), None),
    }
    return show(request, place, "dashboard/check.html", context, title=found.name, section="checks", now=now, version=version)


def _range(request: HttpRequest, check: Check, now: datetime) -> str:
    """Return the requested range, by default 24 h, or 1 h for a check that is younger than three hours."""
    asked = request.GET.get("range", "")
    return asked if asked in RANGES else "1h" if now - check.created_at < timedelta(hours=3) else "24h"


def _range_chips(request: HttpRequest, chosen: str) -> list[Chip]:
    return [Chip(name, name, address(request, range=name), name == chosen) for name in RANGES]


def run_lines(runs: list[Any], slugs: dict[int, str]) -> list[dict[str, Any]]:
    """Return runs as the template's table shows them."""
    return [
        {
            "key": f"{run.slot}-{run.region_id}",
            "at": from_ms(run.slot + run.started_after_ms),
            "verdict": VERDICTS[run.verdict],
            "latency_ms": timed(run.duration_ms),
            "region": slugs.get(run.region_id, "?"),
            "code": run.code,
            "reason": run.reason,
            "message": (run.facts or {}).get("message", ""),
            "phases": {"dns": run.dns_ms, "connect": run.connect_ms, "tls": run.tls_ms, "first_byte": run.first_byte_ms},
            "facts": {name: value for name, value in (run.facts or {}).items() if name not in ("message", "phases_ms")},
        }
        for run in runs
    ]


def _certificate(pk: int, now: datetime) -> dict[str, Any]:
    facts = Certificate.objects.get(pk=pk).facts
    ends = from_ms(facts["not_after"])
    return {**facts, "ends": ends, "days": (ends - now).days}


@page()
def check_runs(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show all runs in pages, newest first."""
    place, found = enter_check(request, pk)
    now = timezone.now()
    verdict = request.GET.get("verdict", "")
    seen = run_page(
        check_id=found.pk,
        before=whole(request.GET.get("before"), least=0, most=2**53) or to_ms(now) + DAY_MS,
        since=to_ms(found.created_at),
        verdict=verdict if verdict in VERDICTS else None,
        limit=100,
    )
    words = {"down": "Down", "degraded": "Degraded", "unknown": "Unknown", "up": "Up"}
    slugs = dict(Region.objects.values_list("id", "slug"))
    context = {
        "check": found,
        "runs": run_lines(seen.runs, slugs),
        "chips": chips(request, "verdict", words),
        "older": address(request, before=str(seen.before)) if seen.before else "",
    }
    return show(request, place, "dashboard/runs.html", context, title=f"Runs of {found.name}", section="checks", now=now)


@page()
def check_latency(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Return the data of the latency chart as columns, with nulls where nothing ran."""
    _, found = enter_check(request, pk)
    now = timezone.now()
    back, step = RANGES[_range(request, found, now)]
    step = step if found.interval_ms <= step else -(-found.interval_ms // HOUR_MS) * HOUR_MS
    end = to_ms(now)
    start = max((end - back) // step * step, to_ms(found.created_at) // step * step)
    points = {point.start: point for point in latency.series(check_id=found.pk, start=start, end=end, step=step)}
    spans = histories(checks=[found], start=from_ms(start), end=now)[found.pk]
    moments = list(range(start // step * step, end, step)) if points else []
    return JsonResponse(
        {
            "from": end - back,
            "t": [moment / 1000 for moment in moments],
            **{name: [getattr(points.get(moment), name, None) for moment in moments] for name in ("p50", "p95", "p99")},
            "runs": [getattr(points.get(moment), "runs", 0) for moment in moments],
            "bands": [
                {"from": s.start, "to": s.end, "state": s.state} for s in spans if s.state in ("down", "degraded", "maintenance")
            ],
        }
    )


# --- actions


def _act(request: HttpRequest, pk: uuid.UUID, service: _Command, done: str) -> HttpResponse:
    place, found = enter_check(request, pk, Role.MEMBER)
    try:
        service(actor=place.actor, check_id=found.pk, now=timezone.now())
    except check_commands.StateForbidsError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, done)
    return redirect("check-page", pk)


@page("POST")
def rotate_ping_url(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    place, found = enter_check(request, pk, Role.MEMBER)
    if found.kind in PASSIVE:
        rotate_ping_secret(actor=place.actor, now=timezone.now(), check=found)
        messages.success(request, "The job has a new address. Tell it where it runs.")
    return redirect("check-page", pk)


@page("POST")
def pause(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    return _act(request, pk, check_commands.pause_check, "Paused. Nothing is sent until it is resumed.")


@page("POST")
def resume(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    return _act(request, pk, check_commands.resume_check, "Resumed. It runs now.")


@page("POST")
def run(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    return _act(request, pk, check_commands.run_now, "It runs now. The result appears here.")


@page("GET", "POST")
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    place, found = enter_check(request, pk, Role.MEMBER)
    now = timezone.now()
    if request.method == "POST":
        check_commands.delete_check(actor=place.actor, check_id=found.pk, now=now)
        messages.success(request, f"{found.name} is deleted.")
        return redirect("checks-page", place.project.pk)
    return show(
        request, place, "dashboard/check_delete.html", {"checks": [found]}, title="Delete check", section="checks", now=now
    )
