"""The page of a resource with its checks."""

from __future__ import annotations

import uuid

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from apps.dashboard.access import enter_resource, page
from apps.dashboard.shell import is_current, nothing_new, show
from apps.incidents.list_views import check_lines, resource_lines
from apps.incidents.models import Incident
from apps.incidents.project_summary import summarize_project
from apps.monitors.models import Check

_SHOWN = 100


@page()
def resource(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    place, found = enter_resource(request, pk)
    now = timezone.now()
    known = summarize_project(project=place.project, now=now)
    if is_current(request, known.version):
        return nothing_new()
    checks = Check.objects.filter(resource=found, deleted_at=None).order_by("name", "pk").values_list("pk", flat=True)
    lines = check_lines(check_ids=list(checks[:_SHOWN]), beat_count=30, now=now)
    if not lines:
        raise Http404
    incidents = Incident.objects.filter(check_row__resource=found).select_related("check_row", "acknowledged_by")
    context = {
        "resource": found,
        "line": resource_lines(resource_ids=[found.pk], now=now)[0],
        "lines": lines,
        "incidents": incidents.order_by("-started_at")[:10],
    }
    return show(
        request, place, "dashboard/resource.html", context,
        title=found.name, section="resources", now=now, known=known, version=known.version,
    )  # fmt: skip
