"""Access to pages: 404 for those who are not members, 403 for a role that is too weak, sign-in for the anonymous."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from apps.incidents.models import Incident
from apps.monitors.models import Check, Resource
from apps.orgs.actors import Actor, user_actor
from apps.orgs.models import Organization, Project, Role, User
from apps.orgs.selectors import find_member

log = logging.getLogger(__name__)


class PageRequest(HttpRequest):
    """A request of a signed-in user."""

    user: User
    htmx: HtmxDetails


View = Callable[..., HttpResponseBase]


def page(*methods: str) -> Callable[[View], View]:
    """Return a decorator for views that require sign-in. `methods` are the allowed ones, GET by default."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.user.is_authenticated:
                return view(request, *args, **kwargs)
            wanted = request.get_full_path() if request.method == "GET" else "/"
            htmx = cast(PageRequest, request).htmx
            if htmx:
                wanted = htmx.current_url_abs_path or "/"
            there = f"{reverse('sign-in')}?{urlencode({'next': wanted})}"
            return HttpResponseClientRedirect(there) if htmx else redirect(there)

        return _answering(guarded, methods)

    return decorate


def open_page(*methods: str) -> Callable[[View], View]:
    """Return a decorator for views without sign-in. `methods` are the allowed ones, GET by default."""
    return lambda view: _answering(view, methods)


def _answering(view: View, methods: tuple[str, ...]) -> View:
    named = methods or ("GET",)

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except ObjectDoesNotExist as error:  # deleted while this request waited for its lock
            raise Http404 from error
        except (OperationalError, InterfaceError):
            log.warning("%s is not answered: the database is away", request.path)
            sentence = "The database does not answer at the moment. Try again in a while."
            return render(request, "error.html", {"title": _("Not available"), "sentence": sentence}, status=503)

    # HEAD is exempt from the CSRF check, so that it is allowed only where GET is.
    answering = never_cache(require_http_methods([*named, *(["HEAD"] if "GET" in named else [])])(answered))
    answering.methods = frozenset(named)  # type: ignore[attr-defined]  # read by the tests of permissions
    return answering


def safe_next(request: HttpRequest) -> str:
    """Return the address of this site that a form or link names as `next`, or nothing."""
    there = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(there, {request.get_host()}, require_https=request.is_secure())
    return there if is_ours else ""


def posted(request: HttpRequest) -> QueryDict | None:
    """Return the data to bind a form to: that of a POST, even if it is empty, else None."""
    return request.POST if request.method == "POST" else None


@dataclass(frozen=True)
class ProjectContext:
    """The signed-in user, the project of the page, and the user's role in it."""

    user: User
    project: Project
    role: Role
    actor: Actor

    @property
    def organization(self) -> Organization:
        return self.project.organization

    @property
    def may_write(self) -> bool:
        return self.role.covers(Role.MEMBER)

    @property
    def may_manage(self) -> bool:
        return self.role.covers(Role.ADMIN)


def enter_project(request: HttpRequest, project_id: uuid.UUID, need: Role = Role.VIEWER) -> ProjectContext:
    found = Project.objects.select_related("organization").filter(pk=project_id).first()
    return _enter(request, found, need)


def enter_check(request: HttpRequest, pk: uuid.UUID, need: Role = Role.VIEWER) -> tuple[ProjectContext, Check]:
    check = Check.objects.live().select_related("project__organization", "resource", "state").filter(pk=pk).first()
    access = _enter(request, check.project if check else None, need)
    return access, cast(Check, check)


def enter_resource(request: HttpRequest, pk: uuid.UUID, need: Role = Role.VIEWER) -> tuple[ProjectContext, Resource]:
    resource = Resource.objects.select_related("project__organization").filter(pk=pk).first()
    access = _enter(request, resource.project if resource else None, need)
    return access, cast(Resource, resource)


def enter_incident(request: HttpRequest, pk: uuid.UUID, need: Role = Role.VIEWER) -> tuple[ProjectContext, Incident]:
    incidents = Incident.objects.select_related("project__organization", "check_row", "acknowledged_by")
    incident = incidents.filter(pk=pk).first()
    access = _enter(request, incident.project if incident else None, need)
    return access, cast(Incident, incident)


def _enter(request: HttpRequest, project: Project | None, need: Role) -> ProjectContext:
    """Return the context of a page and remember its project in the session.

    Raises Http404 without a project or membership, and PermissionDenied if the role is below `need`.
    """
    user = cast(PageRequest, request).user
    member = find_member(user=user, organization_id=project.organization_id) if project else None
    if project is None or member is None:
        raise Http404
    access = ProjectContext(user, project, Role(member.role), user_actor(user, request.META))
    if not access.role.covers(need):
        raise PermissionDenied
    if request.session.get("project") != str(project.pk):
        request.session["project"] = str(project.pk)
    return access
