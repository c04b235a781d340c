"""The deployment's regions and their health. Operators create regions; every member may see them."""

from __future__ import annotations

import shlex
import uuid
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core.clock import from_ms, to_ms
from apps.core.errors import FieldError
from apps.dashboard.access import ProjectContext, enter_project, page, posted
from apps.dashboard.forms.region import NewRegionForm, RegionForm
from apps.dashboard.shell import is_poll_unchanged, no_content, render_page
from apps.monitors.models import CORE, Region
from apps.monitors.regions import change_region, create_region
from apps.monitors.selectors import clock_warning, is_impaired, liveness_of, living_workers
from apps.monitors.worker_environment import worker_environment

_FRESH_MS = 5_000


@dataclass(frozen=True)
class RegionLine:
    region: Region
    status: str
    heard_at: datetime | None
    clock: str | None
    dropped: int
    workers: int
    lag_ms: int
    """The highest event loop lag among its workers."""


def region_lines(*, now: datetime) -> list[RegionLine]:
    return [_line(region, now) for region in Region.objects.exclude(slug=CORE).order_by("slug")]


def _line(region: Region, now: datetime) -> RegionLine:
    is_live = liveness_of(region).is_live(to_ms(now))
    workers = living_workers(region, now_ms=to_ms(now))
    return RegionLine(
        region=region,
        status=_status(region, is_live),
        heard_at=from_ms(region.heard_at_ms) if region.heard_at_ms else None,
        clock=clock_warning(region),
        dropped=sum(region.dropped.values()),
        workers=len(workers),
        lag_ms=max((worker["lag_ms"] for worker in workers), default=0),
    )


def _status(region: Region, is_live: bool) -> str:
    if not region.is_enabled:
        return "paused"
    if not is_live:
        return "pending" if region.heard_at_ms is None else "down"
    return "warn" if is_impaired(region) else "up"


@page()
def regions(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    access, now = enter_project(request, project), timezone.now()
    version = str(to_ms(now) // _FRESH_MS)
    if is_poll_unchanged(request, version):
        return no_content()
    return render_page(
        request, access, "dashboard/regions.html", {"lines": region_lines(now=now)},
        title=_("Regions"), section="regions", now=now, version=version,
    )  # fmt: skip


def _enter_as_operator(request: HttpRequest, project: uuid.UUID) -> ProjectContext:
    """Regions belong to the deployment: only its operators change them."""
    access = enter_project(request, project)
    if not access.user.is_superuser:
        raise PermissionDenied
    return access


@page("GET", "POST")
def new_region(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    access, now = _enter_as_operator(request, project), timezone.now()
    form = NewRegionForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            made = create_region(actor=access.actor, project=access.project, now=now, **form.cleaned_data)
        except FieldError as error:
            form.add_error("slug", error.sentence)
        else:
            return redirect("region-edit", project, made.pk)
    lead = _("A region is where checks run from. Once it is added, you get the command that starts its worker.")
    context = {"form": form, "back": "regions-page", "submit": _("Add region"), "lead": lead}
    return render_page(
        request, access, "dashboard/form.html", context,
        title=_("New region"), section="regions", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


@page("GET", "POST")
def edit_region(request: HttpRequest, project: uuid.UUID, pk: int) -> HttpResponse:
    """The region's name, whether checks run in it, and the command that starts a worker of it."""
    access, now = _enter_as_operator(request, project), timezone.now()
    region = get_object_or_404(Region.objects.exclude(slug=CORE), pk=pk)
    form = RegionForm(posted(request), initial={"name": region.name, "is_enabled": region.is_enabled})
    if request.method == "POST" and form.is_valid():
        change_region(actor=access.actor, project=access.project, region=region, now=now, **form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect("regions-page", project)
    variables = [f"{name}={shlex.quote(value)}" for name, value in worker_environment(region).items()]
    context = {"form": form, "region": region, "command": " \\\n  ".join([*variables, "python -m apps.probes"])}
    return render_page(
        request, access, "dashboard/region.html", context,
        title=region.name, section="regions", now=now, status=422 if form.errors else 200,
    )  # fmt: skip
