"""A person's own page: name, time zone and password."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core.throttle import allow_attempt
from apps.dashboard.access import enter_project, page
from apps.dashboard.forms.account import PasswordForm, ProfileForm
from apps.dashboard.shell import render_page
from apps.orgs.services import change_password, change_profile
from apps.orgs.sign_in import PER_ACCOUNT


@page("GET", "POST")
def profile(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    """POST changes the profile or the password, whichever form was sent. Other sessions end with the old password."""
    access, now = enter_project(request, project), timezone.now()
    sent = request.POST.get("form")
    known = {"name": access.user.name, "time_zone": access.user.time_zone}
    profile_form = ProfileForm(request.POST if sent == "profile" else None, initial=known)
    password_form = PasswordForm(access.user, request.POST if sent == "password" else None)
    who: Any = {"actor": access.actor, "project": access.project, "user": access.user, "now": now}
    if sent == "profile" and profile_form.is_valid():
        change_profile(**who, **profile_form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect("profile", project)
    if sent == "password" and not allow_attempt(PER_ACCOUNT, access.user.email):
        password_form.add_error(None, _("Too many attempts. Try again in a minute."))
    elif sent == "password" and password_form.is_valid():
        change_password(**who, password=password_form.cleaned_data["new"])
        update_session_auth_hash(request, access.user)
        messages.success(request, _("Your password is changed."))
        return redirect("profile", project)
    context = {"profile_form": profile_form, "password_form": password_form}
    status = 422 if profile_form.errors or password_form.errors else 200
    return render_page(
        request, access, "dashboard/profile.html", context, title=_("Profile"), section="profile", now=now, status=status
    )
