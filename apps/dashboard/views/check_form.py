"""Creating and editing a check: the typed address gives proposals of kinds, one fills the form, a trial runs it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.errors import FieldError
from apps.core.throttle import allow_attempt
from apps.dashboard.access import ProjectContext, enter_check, enter_project, page
from apps.dashboard.forms.check import CheckForm, known_values, new_values
from apps.dashboard.heartbeats import shown_times
from apps.dashboard.lists import is_uuid
from apps.dashboard.shell import render_page
from apps.incidents.labels import span_words
from apps.incidents.selectors import due_times
from apps.incidents.services import check_commands
from apps.monitors.check_spec import CheckSpec, changed_spec, validate_spec
from apps.monitors.models import Check, Region, Resource
from apps.monitors.resources import ensure_resource
from apps.orgs.models import Role
from apps.probes.contract import Kind
from apps.probes.registry import KINDS
from apps.results.models import Trial
from apps.results.trials import TRIALS, is_over, start_trial

_TIMES = 5
_DURATIONS_S = (10, 30, 60, 300, 900, 1_800, 3_600, 21_600, 43_200, 86_400)
"""What forms propose for a length of time."""
_CREATED = {
    False: gettext_lazy("%(name)s is created. Its first run is under way."),
    True: gettext_lazy("%(name)s is created. It waits for its first ping."),
}


@page("GET", "POST")
def new_check(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    access, now = enter_project(request, project, Role.MEMBER), timezone.now()
    typed = request.GET.get("url", "").strip()[:2000]
    proposals = {kind.name: target for kind in KINDS.values() if typed and (target := kind.propose(typed))}
    kind = _kind(request, proposals)
    regions = list(Region.objects.probing().order_by("slug"))
    if request.method == "POST":
        form = CheckForm(kind=kind, regions=regions, data=request.POST)
        if request.POST.get("act") == "test" or "trial" in request.POST:
            return _test(request, access, form, None, now)
        made = form.is_valid() and _create(access, form, proposals, request.POST.getlist("also"), now)
        if made:
            messages.success(request, _CREATED[kind.is_passive] % {"name": made.name})
            return redirect("check-page", made.pk)
        return _show(request, access, form, None, now, proposals=proposals, status=422)
    original = _cloned(request, access)
    if original is not None:
        initial = known_values(original, {region.id: region.slug for region in regions}, is_clone=True)
        return _show(request, access, CheckForm(kind=KINDS[original.kind], regions=regions, initial=initial), None, now)
    if not typed and "kind" not in request.GET:
        return render_page(request, access, "dashboard/check_start.html", {}, title=_("New check"), section="checks", now=now)
    home = _named_resource(request, access)
    initial = {**new_values(kind, typed), "regions": [region.slug for region in regions], "resource_name": home}
    return _show(request, access, CheckForm(kind=kind, regions=regions, initial=initial), None, now, proposals=proposals)


@page("GET", "POST")
def edit_check(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, check = enter_check(request, pk, Role.MEMBER)
    now = timezone.now()
    regions = list(Region.objects.probing().order_by("slug"))
    kind = KINDS[check.kind]
    if request.method == "POST":
        form = CheckForm(kind=kind, regions=regions, data=request.POST)
        if request.POST.get("act") == "test" or "trial" in request.POST:
            return _test(request, access, form, check, now)
        if form.is_valid() and _change(access, form, check, now):
            messages.success(request, _("Saved."))
            return redirect("check-page", pk)
        return _show(request, access, form, check, now, status=422)
    initial = known_values(check, {region.id: region.slug for region in regions})
    return _show(request, access, CheckForm(kind=kind, regions=regions, initial=initial), check, now)


def _cloned(request: HttpRequest, access: ProjectContext) -> Check | None:
    """The check that the address asks to copy, if it belongs to this project."""
    named = request.GET.get("clone", "")
    return Check.objects.live().filter(project=access.project, pk=named).first() if is_uuid(named) else None


def _named_resource(request: HttpRequest, access: ProjectContext) -> str:
    """The name of the resource that the address gives a new check to."""
    named = request.GET.get("resource", "")
    found = Resource.objects.filter(project=access.project, pk=named).first() if is_uuid(named) else None
    return found.name if found else ""


def _kind(request: HttpRequest, proposals: dict[str, str]) -> Kind:
    asked = request.POST.get("kind") or request.GET.get("kind") or next(iter(proposals), "http")
    return KINDS.get(asked) or KINDS["http"]


def _show(
    request: HttpRequest,
    access: ProjectContext,
    form: CheckForm,
    check: Check | None,
    now: datetime,
    *,
    proposals: dict[str, str] | None = None,
    trial: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    others = {name: target for name, target in (proposals or {}).items() if name != form.probe.name}
    context = {
        "form": form,
        "check": check,
        "kind": form.probe,
        "also": [(KINDS[name], target) for name, target in others.items()],
        "kinds": KINDS.values(),
        "typed": request.GET.get("url", ""),
        "kept_resource": f"&{urlencode({'resource': request.GET['resource']})}" if "resource" in request.GET else "",
        "durations": [span_words(seconds) for seconds in _DURATIONS_S],
        "resources": Resource.objects.filter(project=access.project).order_by("name").values_list("name", flat=True)[:200],
        **(trial or {}),
    }
    title = _("Edit %(name)s") % {"name": check.name} if check else _("New check")
    return render_page(
        request, access, "dashboard/check_form.html", context, title=title, section="checks", now=now, status=status
    )


def _create(access: ProjectContext, form: CheckForm, proposals: dict[str, str], also: list[str], now: datetime) -> Check | None:
    """Create the check and the ticked proposals, all of one resource. Returns None if a service refuses."""
    spec = form.spec()
    try:
        with transaction.atomic():
            resource = ensure_resource(project=access.project, name=form.cleaned_data["resource_name"] or spec.name)
            made = check_commands.create_check(actor=access.actor, project=access.project, spec=spec, resource=resource, now=now)
            for name in also:
                if name in proposals and name != spec.kind:
                    title = f"{spec.name} {KINDS[name].title}"[:200]
                    plain = CheckSpec(
                        name=title,
                        kind=name,
                        target=proposals[name],
                        options={},
                        interval_s=spec.interval_s,
                        regions=spec.regions,
                    )
                    check_commands.create_check(
                        actor=access.actor, project=access.project, spec=plain, resource=resource, now=now
                    )
    except FieldError as error:
        form.note(error)
        return None
    return made


def _change(access: ProjectContext, form: CheckForm, check: Check, now: datetime) -> bool:
    name, kept = form.cleaned_data["resource_name"], _enabled_of(check)
    try:
        with transaction.atomic():
            resource = ensure_resource(project=access.project, name=name) if name else None
            check_commands.edit_check(
                actor=access.actor, check_id=check.pk, changes=form.changes(kept_regions=kept), resource=resource, now=now
            )
    except FieldError as error:
        form.note(error)
        return False
    return True


def _enabled_of(check: Check) -> list[str]:
    return list(Region.objects.probing().filter(pk__in=check.region_ids).values_list("slug", flat=True))


# --- trials


def _test(request: HttpRequest, access: ProjectContext, form: CheckForm, check: Check | None, now: datetime) -> HttpResponse:
    """Start a trial of the form's check, or show the form's errors. Without JavaScript, show the trial started before.

    A passive check has no trial: its due times are shown instead.
    """
    trial = _started(request, access)
    if trial is not None:
        form.is_valid()
    elif form.probe.is_passive:
        return _preview(request, access, form, check, now)
    elif form.is_valid() and not allow_attempt(TRIALS, str(access.project.pk)):
        form.add_error(None, _("Too many tests. Try again in a minute."))
    elif form.is_valid():
        try:
            spec = changed_spec(check, form.changes(kept_regions=_enabled_of(check))) if check else form.spec()
            fields = validate_spec(spec, kept_region_ids=check.region_ids if check else None)
            trial = start_trial(actor=access.actor, project=access.project, fields=fields, now=now)
        except FieldError as error:
            form.note(error)
    context = trial_context(trial, now) if trial else {"refusals": _refusals(form)}
    if getattr(request, "htmx", False):
        return render(request, "dashboard/trial.html", {**context, "access": access})
    return _show(request, access, form, check, now, trial=context, status=200 if trial else 422)


def _preview(request: HttpRequest, access: ProjectContext, form: CheckForm, check: Check | None, now: datetime) -> HttpResponse:
    """Show when a heartbeat would be due, instead of a trial."""
    context: dict[str, Any] = {}
    if form.is_valid():
        try:
            spec = changed_spec(check, form.changes(kept_regions=())) if check else form.spec()
            context["times"] = shown_times(due_times(fields=validate_spec(spec), now=now, count=_TIMES))
        except FieldError as error:
            form.note(error)
    context = context or {"refusals": _refusals(form)}
    if getattr(request, "htmx", False):
        return render(request, "dashboard/trial.html", {**context, "access": access, "kind": form.probe})
    return _show(request, access, form, check, now, trial=context, status=200 if "times" in context else 422)


def _started(request: HttpRequest, access: ProjectContext) -> Trial | None:
    named = request.POST.get("trial", "")
    return Trial.objects.filter(project=access.project, pk=named).first() if is_uuid(named) else None


def _refusals(form: CheckForm) -> list[tuple[str, str]]:
    """Return the form's errors as pairs of label and message."""
    return [
        ("" if name == "__all__" else str(form.fields[name].label or form[name].label), str(error))
        for name, errors in form.errors.items()
        for error in errors
    ]


@page()
def trial(request: HttpRequest, project: uuid.UUID, pk: uuid.UUID) -> HttpResponse:
    """Show the regions' results so far. The page asks again until the trial is over."""
    access, now = enter_project(request, project, Role.MEMBER), timezone.now()
    found = Trial.objects.filter(project=access.project, pk=pk).first()
    if found is None:
        raise Http404
    context = trial_context(found, now)
    if getattr(request, "htmx", False):
        return render(request, "dashboard/trial.html", {**context, "access": access})
    return render_page(request, access, "dashboard/trial_page.html", context, title=_("Test"), section="checks", now=now)


def trial_context(found: Trial, now: datetime) -> dict[str, Any]:
    answers = list(found.answers.all())
    by_region = {answer.region_id: answer for answer in answers}
    regions = Region.objects.filter(pk__in=found.region_ids).order_by("slug")
    return {
        "trial": found,
        "is_over": is_over(trial=found, answers=answers, now=now),
        "answers": [(region, by_region.get(region.pk)) for region in regions],
    }
