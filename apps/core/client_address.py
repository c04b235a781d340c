"""The address of the client of a request, behind as many proxies as the deployment trusts (GORUPTIME_PROXIES)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """Return the client's IP address as the last trusted proxy saw it (GORUPTIME_PROXIES)."""
    return address_in(request.META)


def address_in(environ: Mapping[str, Any]) -> str:
    """Return the client's IP address from a WSGI environment, as `client_address` does from a request."""
    forwarded = [part.strip() for part in str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",") if part.strip()]
    if settings.PROXIES and forwarded:
        return str(forwarded[-min(settings.PROXIES, len(forwarded))])
    return str(environ.get("REMOTE_ADDR", ""))
