"""The public status pages: cached and without a session. The last version is served while the database is down."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from apps.core.clock import from_ms, timestamp, to_ms
from apps.core.timed_postgres.client_timeout import client_timeout
from apps.results.bars import Bar
from apps.statuspages.selectors import PageView, PublicIncident, published_page, view_of
from apps.statuspages.services import cache_key, drop_cached_pages

log = logging.getLogger(__name__)

FRESH_MS = 5_000
KEPT_S = 86_400
"""How long a page that cannot be rendered is served from the cache; it shows when it was rendered."""
_OLD_MS = 30_000
"""While one request renders a stale page the others get the cached one, unless it is older than this."""
_PATIENCE_S = 4.0
_making: set[str] = set()
"""The cache keys that this process is rendering."""


@require_safe
def status_page(_request: HttpRequest, slug: str) -> HttpResponse:
    return _answer(
        slug, "html", "text/html; charset=utf-8", lambda view: render_to_string("statuspages/page.html", {"view": view})
    )


@require_safe
def status_json(_request: HttpRequest, slug: str) -> HttpResponse:
    response = _answer(slug, "json", "application/json", lambda view: json.dumps(document(view)))
    response["Access-Control-Allow-Origin"] = "*"
    return response


def _answer(slug: str, form: str, content_type: str, render: Callable[[PageView], str]) -> HttpResponse:
    now = timezone.now()
    page = _cached(slug, form)
    if page is None or not _may_be_shown(cache_key(slug, form), to_ms(now) - page["at"]):
        made = _render(slug, form, render, now)
        if made is not None:
            _store(slug, form, made)
        page = made or page
        if page is None:
            return HttpResponse("The database is not available. Try again.", status=503, content_type="text/plain")
    response = HttpResponse(page["body"], content_type=content_type)
    response["Cache-Control"] = f"public, max-age={FRESH_MS // 1000}"
    return response


def _may_be_shown(key: str, age_ms: int) -> bool:
    """Return whether a cached page is fresh, or slightly stale while another request renders it."""
    return 0 <= age_ms < (_OLD_MS if key in _making else FRESH_MS)


def _render(slug: str, form: str, render: Callable[[PageView], str], now: datetime) -> dict[str, Any] | None:
    """Render the page; None while the database is down. Raises Http404, and drops the cached page, if unpublished."""
    key = cache_key(slug, form)
    _making.add(key)
    try:
        with client_timeout(_PATIENCE_S):
            page = published_page(slug=slug)
            if page is None:
                drop_cached_pages(slug)
                raise Http404
            return {"body": render(view_of(page=page, now=now)), "at": to_ms(now)}
    except (DatabaseError, InterfaceError):
        log.warning("status page %s is served as it was", slug, exc_info=True)
        return None
    finally:
        _making.discard(key)


def _cached(slug: str, form: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = cache.get(cache_key(slug, form))
    except (RedisError, OSError):
        return None
    return found


def _store(slug: str, form: str, page: dict[str, Any]) -> None:
    try:
        cache.set(cache_key(slug, form), page, KEPT_S)
    except (RedisError, OSError) as error:
        log.warning("status page %s is not cached: %s", slug, error)


def document(view: PageView) -> dict[str, Any]:
    """Return the page as a document for JSON."""
    return {
        "page": {"title": view.page.title, "slug": view.page.slug},
        "status": view.status,
        "sentence": view.sentence,
        "updated_at": timestamp(view.made_at),
        "components": [
            {
                "name": line.name,
                "group": line.group or None,
                "status": line.status,
                "condition": line.condition,
                "uptime_90d": line.uptime.ratio,
                "days": _days(line.days),
            }
            for _, lines in view.groups
            for line in lines
        ],
        "incidents": [
            _incident(incident)
            for incident in [*view.open_incidents, *(i for day in view.past_days for i in [*day.incidents, *day.short])]
        ],
    }


def _days(bar: Bar) -> list[dict[str, Any]]:
    days = range(len(bar.cells))
    return [
        {"date": _date(bar.start + day * bar.width), "uptime": bar.uptime(day).ratio, "worst": bar.worst(day)} for day in days
    ]


def _incident(incident: PublicIncident) -> dict[str, Any]:
    return {
        "title": incident.title,
        "severity": incident.severity,
        "started_at": timestamp(incident.started_at),
        "resolved_at": timestamp(incident.resolved_at) if incident.resolved_at else None,
        "updates": [{"at": timestamp(update.at), "text": update.text} for update in incident.updates],
    }


def _date(moment_ms: int) -> str:
    return f"{from_ms(moment_ms):%Y-%m-%d}"
