"""The frame of every page: the menu, the tab's title and icon with the worst status, and the polling for changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static

from apps.dashboard.access import ProjectContext
from apps.incidents.labels import STATUSES
from apps.incidents.project_summary import ProjectSummary, summarize_project
from apps.orgs.selectors import projects_of

_ICONS = {"down": "icon-down.svg", "warn": "icon-warn.svg", "up": "icon-up.svg"}


def render_page(
    request: HttpRequest,
    access: ProjectContext,
    template: str,
    context: Mapping[str, Any],
    *,
    title: str,
    now: datetime,
    section: str = "",
    known: ProjectSummary | None = None,
    version: str = "",
    status: int = 200,
) -> HttpResponse:
    """Render a page in its frame, or only its live part if that is polling. `known` saves a second summary."""
    whole = known or summarize_project(project=access.project, now=now)
    is_live = bool(version) and "live" in request.GET and getattr(request, "htmx", False)
    values = {
        **context,
        "access": access,
        "section": section,
        "title": title,
        "now": now,
        "summary": whole,
        "tab_title": _tab_title(whole, title),
        "tab_icon": static(_ICONS.get(whole.worst, "icon-unknown.svg")),
        "live_url": _live_url(request, version),
        "projects": [] if is_live else projects_of(user=access.user),
        "undo": request.session.get("undo") if not is_live else None,
    }
    return render(request, f"{template}#live" if is_live else template, values, status=status)


def _tab_title(whole: ProjectSummary, title: str) -> str:
    problems = [
        f"{whole.counts[status]} {str(STATUSES[status]).lower()}" for status in ("down", "warn") if status in whole.counts
    ]
    return f"({', '.join(problems)}) {title} · GoUpTime" if problems else f"{title} · GoUpTime"


def _live_url(request: HttpRequest, version: str) -> str:
    asked = request.GET.copy()
    asked["live"] = version
    return f"{request.path}?{asked.urlencode()}"


def is_poll_unchanged(request: HttpRequest, version: str) -> bool:
    """Return whether a polling live part already shows this version."""
    return bool(getattr(request, "htmx", False)) and request.GET.get("live") == version


def no_content() -> HttpResponse:
    return HttpResponse(status=204)
