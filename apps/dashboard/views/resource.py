"""One resource: the checks that watch it, its name, and its end."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core.errors import FieldError
from apps.dashboard.access import enter_resource, page, posted
from apps.dashboard.forms.project import NameForm
from apps.dashboard.shell import is_poll_unchanged, no_content, render_page
from apps.incidents.list_views import check_lines, resource_lines
from apps.incidents.models import Incident
from apps.incidents.project_summary import summarize_project
from apps.incidents.services.check_commands import delete_check
from apps.monitors.models import Check
from apps.monitors.resources import rename_resource
from apps.orgs.models import Role

_SHOWN = 100
_INCIDENTS_SHOWN = 10


@page()
def resource(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, found = enter_resource(request, pk)
    now = timezone.now()
    known = summarize_project(project=access.project, now=now)
    if is_poll_unchanged(request, known.version):
        return no_content()
    checks = Check.objects.live().filter(resource=found).order_by("name", "pk").values_list("pk", flat=True)
    lines = check_lines(check_ids=list(checks[:_SHOWN]), now=now)
    if not lines:
        raise Http404
    incidents = Incident.objects.filter(check_row__resource=found).select_related("check_row", "acknowledged_by")
    context = {
        "resource": found,
        "line": resource_lines(resource_ids=[found.pk], now=now)[0],
        "lines": lines,
        "incidents": incidents.order_by("-started_at")[:_INCIDENTS_SHOWN],
    }
    return render_page(
        request, access, "dashboard/resource.html", context,
        title=found.name, section="resources", now=now, known=known, version=known.version,
    )  # fmt: skip


@page("GET", "POST")
def rename(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, found = enter_resource(request, pk, Role.MEMBER)
    now = timezone.now()
    form = NameForm(posted(request), initial={"name": found.name})
    if request.method == "POST" and form.is_valid():
        try:
            rename_resource(actor=access.actor, resource=found, name=form.cleaned_data["name"], now=now)
        except FieldError as error:
            form.add_error("name", error.sentence)
        else:
            messages.success(request, _("Saved."))
            return redirect("resource-page", pk)
    context = {"form": form, "back": "resources-page", "submit": _("Save")}
    return render_page(
        request, access, "dashboard/form.html", context,
        title=_("Rename %(name)s") % {"name": found.name}, section="resources", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


@page("GET", "POST")
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Delete all checks of the resource: without one it is shown nowhere."""
    access, found = enter_resource(request, pk, Role.MEMBER)
    now = timezone.now()
    checks = list(Check.objects.live().filter(resource=found).order_by("name", "pk"))
    if request.method == "POST":
        for check in checks:
            delete_check(actor=access.actor, check_id=check.pk, now=now)
        messages.success(request, _("%(name)s is deleted.") % {"name": found.name})
        return redirect("resources-page", access.project.pk)
    context = {
        "question": _("Delete %(name)s?") % {"name": found.name},
        "consequence": ngettext(
            "Its check is deleted with its history. Open incidents are closed, and whoever was notified is notified of that.",
            "All %(count)d checks are deleted with their history. Open incidents are closed, and whoever was notified is "
            "notified of that.",
            len(checks),
        )
        % {"count": len(checks)},
        "back": "resources-page",
    }
    return render_page(request, access, "dashboard/ask.html", context, title=_("Delete resource"), section="resources", now=now)
