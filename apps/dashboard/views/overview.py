"""The first page of a project: what is wrong, then everything."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.dashboard.access import Place, enter_project, open_page, page
from apps.dashboard.lists import PAGE, paged, search_of
from apps.dashboard.shell import is_current, nothing_new, show
from apps.dashboard.views.regions import region_lines
from apps.incidents.boards import active_checks, by_rank, resource_lines, resources_of, states_of, summary
from apps.incidents.models import Incident
from apps.incidents.selectors import ShownState, status_now
from apps.monitors.models import Check
from apps.orgs.selectors import is_set_up, projects_of

WRONG_SHOWN = 10
_WRONG = ("down", "warn", "unknown")


@open_page()
def home(request: HttpRequest) -> HttpResponse:
    """To where this person belongs: the project of their last visit, the first run, or sign-in."""
    if not request.user.is_authenticated:
        return redirect("sign-in" if is_set_up() else "welcome")
    projects = projects_of(user=request.user)
    last = request.session.get("project")
    chosen = next((project for project in projects if str(project.pk) == last), projects[0] if projects else None)
    return redirect("overview", chosen.pk) if chosen else redirect("nowhere")


def _wrong(place: Place, now: datetime) -> list[tuple[Check, ShownState]]:
    """The worst of what is wrong, the newest first."""
    rows = active_checks(project=place.project, now=now).filter(status__in=_WRONG).select_related("state")
    return states_of(checks=list(rows.order_by(by_rank(status_now(now)), F("state__since").desc())[:WRONG_SHOWN]), now=now)


@page()
def overview(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    place, now = enter_project(request, project), timezone.now()
    known = summary(project=place.project, now=now)
    if is_current(request, known.version):
        return nothing_new()
    wrong_total = sum(known.counts.get(status, 0) for status in _WRONG)
    lines = _wrong(place, now) if wrong_total else []
    incidents = Incident.objects.filter(project=place.project).select_related("check_row", "acknowledged_by")
    open_ones = {
        i.check_row_id: i for i in incidents.filter(check_row__in=[check.pk for check, _ in lines]).exclude(status="resolved")
    }
    resources = resources_of(project=place.project, now=now)
    context = {
        "wrong": [(check, state, open_ones.get(check.pk)) for check, state in lines],
        "wrong_total": wrong_total,
        "resources": resource_lines(resource_ids=list(resources[:PAGE]), now=now),
        "has_more": known.total > PAGE,
        "incidents": incidents.order_by("-started_at")[:6],
        "regions": region_lines(now=now),
    }
    return show(
        request, place, "dashboard/overview.html", context,
        title="Overview", section="overview", now=now, known=known, version=known.version,
    )  # fmt: skip


@page()
def resources(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    place, now = enter_project(request, project), timezone.now()
    known = summary(project=place.project, now=now)
    if is_current(request, known.version):
        return nothing_new()
    search = search_of(request)
    rows = resources_of(project=place.project, now=now, search=search)
    pages = paged(request, rows, rows.count())
    context = {"pages": pages, "lines": resource_lines(resource_ids=pages.rows, now=now), "search": search}
    return show(
        request, place, "dashboard/resources.html", context,
        title="Resources", section="resources", now=now, known=known, version=known.version,
    )  # fmt: skip
