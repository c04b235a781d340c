"""One check: its page, its runs, its latency, and what people do to it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core.clock import DAY_MS, HOUR_MS, from_ms, to_ms
from apps.dashboard.access import enter_check, page
from apps.dashboard.check_page import check_context, check_now, run_lines
from apps.dashboard.lists import FilterLink, filter_links, int_parameter, url_with
from apps.dashboard.shell import is_poll_unchanged, no_content, render_page
from apps.incidents.history import histories
from apps.incidents.labels import STATES
from apps.incidents.services import check_commands
from apps.monitors.models import Check, Region
from apps.monitors.services import rotate_ping_secret
from apps.orgs.models import Role
from apps.probes.registry import PASSIVE
from apps.results import latency
from apps.results.models import VERDICTS
from apps.results.runs import run_page

RANGES = {
    "1h": (HOUR_MS, 60_000),
    "24h": (DAY_MS, 900_000),
    "7d": (7 * DAY_MS, HOUR_MS),
    "30d": (30 * DAY_MS, 4 * HOUR_MS),
    "90d": (90 * DAY_MS, DAY_MS),
}
"""Of the latency chart: how far back it reaches, and the width of a point, in ms."""


@page()
def check(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, found = enter_check(request, pk)
    now = timezone.now()
    known = check_now(found, now)
    if is_poll_unchanged(request, known.version):
        return no_content()
    chosen = _range(request, found, now)
    context = {
        **check_context(found, known, may_ping=access.may_write, now=now),
        "range": chosen,
        "ranges": [FilterLink(name, name, url_with(request, range=name), name == chosen) for name in RANGES],
    }
    return render_page(
        request, access, "dashboard/check.html", context, title=found.name, section="checks", now=now, version=known.version
    )


@page()
def check_runs(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """All runs, the newest first, a hundred to a page."""
    access, found = enter_check(request, pk)
    now = timezone.now()
    verdict = request.GET.get("verdict", "")
    seen = run_page(
        check_id=found.pk,
        before=int_parameter(request.GET.get("before"), least=0, most=2**53) or to_ms(now) + DAY_MS,
        since=to_ms(found.created_at),
        verdict=verdict if verdict in VERDICTS else None,
        limit=100,
    )
    words = {verdict: STATES[verdict] for verdict in ("down", "degraded", "unknown", "up")}
    context = {
        "check": found,
        "runs": run_lines(seen.runs, dict(Region.objects.values_list("id", "slug"))),
        "chips": filter_links(request, "verdict", words),
        "older": url_with(request, before=str(seen.before)) if seen.before else "",
    }
    title = _("Runs of %(name)s") % {"name": found.name}
    return render_page(request, access, "dashboard/runs.html", context, title=title, section="checks", now=now)


def _range(request: HttpRequest, check: Check, now: datetime) -> str:
    """Return the requested range, by default 24 h, or 1 h for a check that is younger than three hours."""
    asked = request.GET.get("range", "")
    return asked if asked in RANGES else "1h" if now - check.created_at < timedelta(hours=3) else "24h"


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


def _act(request: HttpRequest, pk: uuid.UUID, service: check_commands.CheckCommand, done: str) -> HttpResponse:
    access, found = enter_check(request, pk, Role.MEMBER)
    try:
        service(actor=access.actor, check_id=found.pk, now=timezone.now())
    except check_commands.StateForbidsError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, done)
    return redirect("check-page", pk)


@page("POST")
def rotate_ping_url(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, found = enter_check(request, pk, Role.MEMBER)
    if found.kind in PASSIVE:
        rotate_ping_secret(actor=access.actor, now=timezone.now(), check=found)
        messages.success(request, _("The job has a new address. Tell it where it runs."))
    return redirect("check-page", pk)


@page("POST")
def pause(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    return _act(request, pk, check_commands.pause_check, _("Paused. Nothing is sent until it is resumed."))


@page("POST")
def resume(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    return _act(request, pk, check_commands.resume_check, _("Resumed. It runs now."))


@page("POST")
def run(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    return _act(request, pk, check_commands.run_now, _("It runs now. The result appears here."))


@page("GET", "POST")
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, found = enter_check(request, pk, Role.MEMBER)
    now = timezone.now()
    if request.method == "POST":
        check_commands.delete_check(actor=access.actor, check_id=found.pk, now=now)
        messages.success(request, _("%(found_name)s is deleted.") % {"found_name": found.name})
        return redirect("checks-page", access.project.pk)
    return render_page(
        request, access, "dashboard/check_delete.html", {"checks": [found]}, title=_("Delete check"), section="checks", now=now
    )
