"""A project's settings, API keys and members, and the creation of projects."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.conf import settings as conf
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone

from apps.dashboard.access import enter_project, page, posted
from apps.dashboard.forms.account import KeyForm, NameForm, ProjectForm
from apps.dashboard.shell import show
from apps.orgs.models import ApiKey, Membership, Role
from apps.orgs.services import KeyRankError, NameTakenError, change_project, create_api_key, create_project, revoke_api_key


@page("GET", "POST")
def settings(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    """Show a project's settings; POST changes them."""
    place, now = enter_project(request, project), timezone.now()
    project_now = {"name": place.project.name, "retention_days": place.project.retention_days}
    form = ProjectForm(posted(request), initial=project_now)
    if request.method == "POST":
        if not place.may_manage:
            raise PermissionDenied
        if form.is_valid():
            try:
                change_project(actor=place.actor, now=now, project=place.project, **form.cleaned_data)
            except NameTakenError as error:
                form.add_error("name", str(error))
            else:
                messages.success(request, "Saved.")
                return redirect("settings", project)
    keys = ApiKey.objects.filter(project=place.project, revoked_at=None).order_by("name", "pk") if place.may_manage else []
    context = {
        "form": form,
        "keys": keys,
        "ping_base": f"{conf.PUBLIC_URL}/ping/{place.project.ping_key}",
        "members": Membership.objects.filter(organization=place.organization).select_related("user").order_by("user__email"),
    }
    return show(
        request, place, "dashboard/settings.html", context,
        title="Settings", section="settings", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


@page("GET", "POST")
def new_project(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    """Create a project in the organization of the current one."""
    place, now = enter_project(request, project, Role.ADMIN), timezone.now()
    form = NameForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            made = create_project(actor=place.actor, now=now, organization=place.organization, name=form.cleaned_data["name"])
        except NameTakenError as error:
            form.add_error("name", str(error))
        else:
            return redirect("overview", made.pk)
    context = {"form": form, "back": "overview", "submit": "Create project", "lead": f"In {place.organization.name}."}
    return show(request, place, "dashboard/form.html", context, title="New project", now=now, status=422 if form.errors else 200)


@page("GET", "POST")
def new_key(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    """Create an API key, which only this response shows."""
    place, now = enter_project(request, project, Role.ADMIN), timezone.now()
    form = KeyForm(posted(request))
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        expires_at = now + timedelta(days=values["days"]) if values["days"] else None
        row, key = create_api_key(
            actor=place.actor,
            now=now,
            project=place.project,
            name=values["name"],
            role=Role(values["role"]),
            expires_at=expires_at,
            maker_role=place.role,
        )
        return show(
            request, place, "dashboard/key.html", {"row": row, "key": key}, title="New API key", section="settings", now=now
        )
    context = {"form": form, "back": "settings", "submit": "Create key", "lead": "Programs act for this project with it."}
    return show(
        request, place, "dashboard/form.html", context,
        title="New API key", section="settings", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


@page("GET", "POST")
def revoke_key(request: HttpRequest, project: uuid.UUID, pk: uuid.UUID) -> HttpResponse:
    place, now = enter_project(request, project, Role.ADMIN), timezone.now()
    key = get_object_or_404(ApiKey, project=place.project, pk=pk, revoked_at=None)
    if request.method == "POST":
        try:
            revoke_api_key(actor=place.actor, key=key, now=now, revoker_role=place.role)
        except KeyRankError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"The key {key.name} is revoked.")
        return redirect("settings", project)
    context = {
        "question": f"Revoke the key {key.name}?",
        "consequence": "Programs that use it are refused from then on.",
        "back": "settings",
        "verb": "Revoke",
    }
    return show(request, place, "dashboard/ask.html", context, title="Revoke key", section="settings", now=now)
