"""Health endpoints: `/healthz` (the process answers), `/readyz` (so do database and cache), `/metrics` (Prometheus)."""

from __future__ import annotations

from hmac import compare_digest

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from apps.core.error_body import error_body
from apps.core.timed_postgres.client_timeout import client_timeout

_PATIENCE_S = 3.0


def healthz(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def readyz(_request: HttpRequest) -> JsonResponse:
    parts = {"database": _database(), "cache": _cache()}
    is_ready = all(state == "ok" for state in parts.values())
    return JsonResponse({"status": "ok" if is_ready else "unavailable", **parts}, status=200 if is_ready else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    """Return Prometheus' text format. 401 without the bearer token GORUPTIME_METRICS_TOKEN, or if none is set."""
    token = settings.METRICS_TOKEN
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not token or not compare_digest(given.encode(), token.encode()):
        message = "Set GORUPTIME_METRICS_TOKEN, and send it as a Bearer token."
        return JsonResponse(error_body("not_authenticated", message), status=401)
    return HttpResponse(generate_latest(), CONTENT_TYPE_LATEST)


def _database() -> str:
    try:
        with client_timeout(_PATIENCE_S), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unavailable"
    return "ok"


def _cache() -> str:
    try:
        cache.get("readyz")
    except (RedisError, OSError):
        return "unavailable"
    return "ok"
