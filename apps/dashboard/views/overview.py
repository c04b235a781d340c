"""The home page, a project's overview with its problems first, and the list of its resources."""

from __future__ import annotations

import uuid
from functools import partial

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.dashboard.access import enter_project, open_page, page
from apps.dashboard.lists import PAGE, paged, search_of
from apps.dashboard.shell import is_poll_unchanged, no_content, render_page
from apps.dashboard.views.regions import region_lines
from apps.incidents.highlights import highlights_of
from apps.incidents.list_views import count_resources, resource_lines, resources_by_rank, worst_checks
from apps.incidents.models import Incident
from apps.incidents.project_summary import summarize_project
from apps.orgs.selectors import has_demo, is_set_up, projects_of

WRONG_SHOWN = 10


@open_page()
def home(request: HttpRequest) -> HttpResponse:
    """Redirect to the project of the last visit, to the first setup or to sign-in."""
    if not request.user.is_authenticated:
        return redirect("sign-in" if is_set_up() or has_demo() else "welcome")
    projects = projects_of(user=request.user)
    last = request.session.get("project")
    chosen = next((project for project in projects if str(project.pk) == last), projects[0] if projects else None)
    return redirect("overview", chosen.pk) if chosen else redirect("nowhere")


@page()
def overview(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    access, now = enter_project(request, project), timezone.now()
    known = summarize_project(project=access.project, now=now)
    if is_poll_unchanged(request, known.version):
        return no_content()
    lines = worst_checks(project=access.project, limit=WRONG_SHOWN, now=now) if known.problems else []
    incidents = Incident.objects.filter(project=access.project).select_related("check_row", "acknowledged_by")
    open_ones = {i.check_row_id: i for i in incidents.open().filter(check_row__in=[check.pk for check, _ in lines])}
    shown = resources_by_rank(project=access.project, known=known, now=now, search="", start=0, stop=PAGE)
    context = {
        "wrong": [(check, state, open_ones.get(check.pk)) for check, state in lines],
        "resources": resource_lines(resource_ids=shown, now=now),
        "resource_count": count_resources(project=access.project),
        "incidents": incidents.order_by("-started_at")[:6],
        "highlights": highlights_of(project=access.project, now=now),
        "regions": region_lines(now=now),
    }
    return render_page(
        request, access, "dashboard/overview.html", context,
        title=_("Overview"), section="overview", now=now, known=known, version=known.version,
    )  # fmt: skip


@page()
def resources(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    access, now = enter_project(request, project), timezone.now()
    known = summarize_project(project=access.project, now=now)
    if is_poll_unchanged(request, known.version):
        return no_content()
    search = search_of(request)
    part = partial(resources_by_rank, project=access.project, known=known, now=now, search=search)
    pages = paged(request, part, count_resources(project=access.project, search=search))
    context = {"pages": pages, "lines": resource_lines(resource_ids=pages.rows, now=now), "search": search}
    return render_page(
        request, access, "dashboard/resources.html", context,
        title=_("Resources"), section="resources", now=now, known=known, version=known.version,
    )  # fmt: skip
