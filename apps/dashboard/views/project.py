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
from django.utils.translation import gettext as _

from apps.core.errors import FieldError
from apps.dashboard.access import enter_project, page, posted
from apps.dashboard.forms.project import KeyForm, NameForm, ProjectForm
from apps.dashboard.shell import render_page
from apps.orgs.models import ApiKey, Membership, Role
from apps.orgs.services import KeyRoleError, change_project, create_api_key, create_project, revoke_api_key


@page("GET", "POST")
def settings(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    """Show a project's settings; POST changes them."""
    access, now = enter_project(request, project), timezone.now()
    project_now = {"name": access.project.name, "retention_days": access.project.retention_days}
    form = ProjectForm(posted(request), initial=project_now)
    if request.method == "POST":
        if not access.may_manage:
            raise PermissionDenied
        if form.is_valid():
            try:
                change_project(actor=access.actor, now=now, project=access.project, **form.cleaned_data)
            except FieldError as error:
                form.add_error(error.field, error.sentence)
            else:
                messages.success(request, _("Saved."))
                return redirect("settings", project)
    keys = ApiKey.objects.filter(project=access.project, revoked_at=None).order_by("name", "pk") if access.may_manage else []
    context = {
        "form": form,
        "keys": keys,
        "ping_base": f"{conf.PUBLIC_URL}/ping/{access.project.ping_key}",
        "members": Membership.objects.filter(organization=access.organization).select_related("user").order_by("user__email"),
    }
    return render_page(
        request, access, "dashboard/settings.html", context,
        title=_("Settings"), section="settings", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


@page("GET", "POST")
def new_project(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    """Create a project in the organization of the current one."""
    access, now = enter_project(request, project, Role.ADMIN), timezone.now()
    form = NameForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            made = create_project(actor=access.actor, now=now, organization=access.organization, name=form.cleaned_data["name"])
        except FieldError as error:
            form.add_error(error.field, error.sentence)
        else:
            return redirect("overview", made.pk)
    context = {
        "form": form,
        "back": "overview",
        "submit": _("Create project"),
        "lead": _("In %(organization_name)s.") % {"organization_name": access.organization.name},
    }
    return render_page(
        request, access, "dashboard/form.html", context, title=_("New project"), now=now, status=422 if form.errors else 200
    )


@page("GET", "POST")
def new_key(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    """Create an API key, which only this response shows."""
    access, now = enter_project(request, project, Role.ADMIN), timezone.now()
    form = KeyForm(posted(request))
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        expires_at = now + timedelta(days=values["days"]) if values["days"] else None
        row, key = create_api_key(
            actor=access.actor,
            now=now,
            project=access.project,
            name=values["name"],
            role=Role(values["role"]),
            expires_at=expires_at,
            maker_role=access.role,
        )
        return render_page(
            request, access, "dashboard/key.html", {"row": row, "key": key}, title=_("New API key"), section="settings", now=now
        )
    context = {"form": form, "back": "settings", "submit": _("Create key"), "lead": _("Programs act for this project with it.")}
    return render_page(
        request, access, "dashboard/form.html", context,
        title=_("New API key"), section="settings", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


@page("GET", "POST")
def revoke_key(request: HttpRequest, project: uuid.UUID, pk: uuid.UUID) -> HttpResponse:
    access, now = enter_project(request, project, Role.ADMIN), timezone.now()
    key = get_object_or_404(ApiKey, project=access.project, pk=pk, revoked_at=None)
    if request.method == "POST":
        try:
            revoke_api_key(actor=access.actor, key=key, now=now, revoker_role=access.role)
        except KeyRoleError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("The key %(key_name)s is revoked.") % {"key_name": key.name})
        return redirect("settings", project)
    context = {
        "question": _("Revoke the key %(key_name)s?") % {"key_name": key.name},
        "consequence": _("Programs that use it are refused from then on."),
        "back": "settings",
        "verb": _("Revoke"),
    }
    return render_page(request, access, "dashboard/ask.html", context, title=_("Revoke key"), section="settings", now=now)
