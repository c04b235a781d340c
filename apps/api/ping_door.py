"""Pings past the middleware: no session, no token, no page needs to be thought of, and that is two thirds of their cost.

A WSGI application in front of Django's. The routes and views are those of `ping_urls`, which Django knows too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.handlers.wsgi import WSGIRequest, get_path_info
from django.urls import Resolver404, resolve

PREFIX = "/ping/"
_ROUTES = "apps.api.ping_urls"
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class PingDoor:
    def __init__(self, django: Application) -> None:
        self._django = django

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = get_path_info(environ)
        if not path.startswith(PREFIX):
            return self._django(environ, start_response)
        try:
            route = resolve(path.removeprefix("/ping"), _ROUTES)
        except Resolver404:
            return self._django(environ, start_response)
        response = route.func(WSGIRequest(environ), *route.args, **route.kwargs)
        headers = [*response.items(), ("Content-Length", str(len(response.content)))]
        start_response(f"{response.status_code} {response.reason_phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.content]
