"""The form of a project's public status page."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core.errors import FieldError
from apps.dashboard.access import enter_project, page, posted
from apps.dashboard.forms.status_page import StatusPageForm
from apps.dashboard.shell import render_page
from apps.monitors.selectors import watched_resources
from apps.orgs.models import Role
from apps.statuspages.selectors import page_of
from apps.statuspages.services import change_page, draft_page, ensure_page

_RESOURCES = 300
"""How many resources the form lists; those that are on the page are always listed."""


@page("GET", "POST")
def status_page(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    access, now = enter_project(request, project, Role.MEMBER if request.method == "POST" else Role.VIEWER), timezone.now()
    public = page_of(project=access.project) or (draft_page(project=access.project) if access.may_write else None)
    if public is None:
        context: dict[str, object] = {"page": None}
        return render_page(
            request, access, "dashboard/status_page.html", context, title=_("Status page"), section="status-page", now=now
        )
    watched = watched_resources(project=access.project).distinct().order_by("name")
    shown = list(watched.filter(components__page=public))
    resources = [*shown, *watched.exclude(components__page=public)[: max(0, _RESOURCES - len(shown))]]
    form = StatusPageForm(page=public, resources=resources, data=posted(request))
    if request.method == "POST" and form.is_valid():
        values = {name: form.cleaned_data[name] for name in ("title", "slug", "description", "is_published")}
        try:
            public = ensure_page(actor=access.actor, now=now, project=access.project)
            change_page(actor=access.actor, now=now, page=public, components=form.components(), **values)
        except FieldError as error:
            form.add_error(error.field, error.sentence)
        else:
            messages.success(
                request, _("Saved. The page is public.") if values["is_published"] else _("Saved. The page is private.")
            )
            return redirect("status-page-edit", project)
    context = {"page": public, "form": form}
    return render_page(
        request, access, "dashboard/status_page.html", context,
        title=_("Status page"), section="status-page", now=now, status=422 if form.errors else 200,
    )  # fmt: skip
