"""Incidents: the list, the page of one with its timeline, and opening, acknowledging, resolving and commenting."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.dashboard.access import enter_incident, enter_project, page, posted, safe_next
from apps.dashboard.check_page import run_lines
from apps.dashboard.forms.incident import IncidentForm, UpdateForm
from apps.dashboard.lists import filter_links, of_query, paged, query_of, search_of
from apps.dashboard.shell import is_poll_unchanged, no_content, render_page
from apps.dashboard.spreadsheets import csv_answer
from apps.incidents.models import Incident, Severity
from apps.incidents.project_summary import summarize_project
from apps.incidents.selectors import downtime_ms
from apps.incidents.services.check_commands import StateForbidsError
from apps.incidents.services.incident_commands import acknowledge_incident, add_update, open_incident, resolve_incident
from apps.incidents.timeline import moments
from apps.monitors.models import Region
from apps.notifications.selectors import channels_of, deliveries_of_incident
from apps.orgs.models import Project, Role
from apps.results.runs import runs_around

_STATUS = {"open": gettext_lazy("Open"), "acknowledged": gettext_lazy("Acknowledged"), "resolved": gettext_lazy("Resolved")}


@page()
def incidents(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    access, now = enter_project(request, project), timezone.now()
    known = summarize_project(project=access.project, now=now)
    if is_poll_unchanged(request, known.version):
        return no_content()
    rows = _filtered(request, access.project)
    ordered = rows.order_by(F("resolved_at").desc(nulls_first=True), "-started_at", "pk")
    pages = paged(request, of_query(ordered), rows.count())
    context = {
        "pages": pages,
        "query": query_of(request),
        "chips": filter_links(request, "status", _STATUS),
        "search": search_of(request),
        "is_filtered": bool(search_of(request) or request.GET.get("status") in _STATUS),
    }
    return render_page(
        request, access, "dashboard/incidents.html", context,
        title=_("Incidents"), section="incidents", now=now, known=known, version=known.version,
    )  # fmt: skip


def _filtered(request: HttpRequest, project: Project) -> QuerySet[Incident]:
    """Apply the filters of the address; values that do not exist are ignored."""
    rows = Incident.objects.filter(project=project).select_related("check_row", "acknowledged_by")
    status, search = request.GET.get("status", ""), search_of(request)
    if status in _STATUS:
        rows = rows.filter(status=status)
    return rows.filter(title__icontains=search) if search else rows


_CSV_HEAD = (
    "id", "title", "check", "severity", "status", "started_at", "resolved_at", "downtime_s", "reason", "message",
    "acknowledged_at", "acknowledged_by",
)  # fmt: skip


@page()
def incidents_csv(request: HttpRequest, project: uuid.UUID) -> StreamingHttpResponse:
    """All incidents that match the filters of the list, the newest first."""
    access, now = enter_project(request, project), timezone.now()
    rows = _filtered(request, access.project).order_by("-started_at", "pk")
    return csv_answer(f"{access.project.name} incidents", _CSV_HEAD, _csv_rows(rows, now))


def _csv_rows(rows: QuerySet[Incident], now: datetime) -> Iterator[Sequence[Any]]:
    for found in rows.iterator(chunk_size=500):
        down_s = (found.downtime_ms if found.resolved_at else downtime_ms(incident=found, now=now)) / 1000
        who = found.acknowledged_by
        yield (
            found.pk, found.title, found.check_row.name if found.check_row else "", found.severity, found.status,
            found.started_at, found.resolved_at, down_s, found.reason, found.message, found.acknowledged_at,
            who.email if who else "",
        )  # fmt: skip


@page("GET", "POST")
def incident(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show an incident; POST adds a comment."""
    access, found = enter_incident(request, pk, Role.MEMBER if request.method == "POST" else Role.VIEWER)
    now = timezone.now()
    form = UpdateForm(posted(request))
    if request.method == "POST" and form.is_valid():
        text, is_public = form.cleaned_data["text"], form.cleaned_data["is_public"]
        add_update(actor=access.actor, incident=found, author=access.user, text=text, is_public=is_public, now=now)
        messages.success(request, _("Published on the status page.") if is_public else _("Your comment is saved."))
        return redirect("incident-page", pk)
    deliveries = deliveries_of_incident(incident=found)
    happened = moments(incident=found)
    known = summarize_project(project=access.project, now=now)
    parts = (
        found.status,
        found.severity,
        len(happened),
        [(d.pk, d.status, d.attempts, d.error) for d in deliveries],
        known.counts,
        known.open_incidents,
    )
    version = str(uuid.uuid5(uuid.NAMESPACE_OID, repr(parts)))
    if is_poll_unchanged(request, version):
        return no_content()
    slugs = dict(Region.objects.values_list("id", "slug"))
    evidence = runs_around(check_id=found.check_row_id, at=found.started_at) if found.check_row_id else []
    context = {
        "incident": found,
        "moments": happened,
        "deliveries": deliveries,
        "has_channels": bool(deliveries) or bool(channels_of(project=access.project)),
        "evidence": run_lines(evidence, slugs),
        "down_s": downtime_ms(incident=found, now=now) / 1000,
        "length_s": ((found.resolved_at or now) - found.started_at).total_seconds(),
        "form": form,
    }
    return render_page(
        request, access, "dashboard/incident.html", context,
        title=found.title, section="incidents", now=now, known=known, version=version, status=422 if form.errors else 200,
    )  # fmt: skip


@page("GET", "POST")
def new_incident(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    access, now = enter_project(request, project, Role.MEMBER), timezone.now()
    form = IncidentForm(posted(request))
    if request.method == "POST" and form.is_valid():
        values = {**form.cleaned_data, "severity": Severity(form.cleaned_data["severity"])}
        made = open_incident(actor=access.actor, project=access.project, now=now, **values)
        return redirect("incident-page", made.pk)
    context = {
        "form": form,
        "back": "incidents-page",
        "submit": _("Open incident"),
        "lead": _("One that a person saw. A person ends it too."),
    }
    return render_page(
        request, access, "dashboard/form.html", context,
        title=_("New incident"), section="incidents", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


@page("POST")
def acknowledge(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, found = enter_incident(request, pk, Role.MEMBER)
    try:
        acknowledge_incident(actor=access.actor, incident=found, user=access.user, now=timezone.now())
        messages.success(request, _("Acknowledged."))
    except StateForbidsError as error:
        messages.error(request, str(error))
    return redirect(safe_next(request) or reverse("incident-page", args=[pk]))


@page("POST")
def resolve(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, found = enter_incident(request, pk, Role.MEMBER)
    try:
        resolve_incident(actor=access.actor, incident=found, now=timezone.now())
        messages.success(request, _("Resolved."))
    except StateForbidsError as error:
        messages.error(request, str(error))
    return redirect("incident-page", pk)
