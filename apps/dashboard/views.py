"""Pages for people."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What this is, where it listens and what to do next."""
    return render(request, "home.html", {"url": settings.PUBLIC_URL})
