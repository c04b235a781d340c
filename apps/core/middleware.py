"""Middleware: request ids, rejection of NUL and of large bodies, the content security policy and cache headers."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers

from apps.core.error_body import error_body

Handler = Callable[[HttpRequest], HttpResponse]

MAX_BODY_BYTES = 1_000_000
_REQUEST_ID = re.compile(r"[\w.-]{8,40}", re.ASCII)
_DRAINED_BYTES = 16_000_000
_POLICY = (
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)


class RequestId:
    """Gives each request an id, for the audit log and the header X-Request-Id. A valid id from a proxy is kept."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        name = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        request.META["goruptime.request_id"] = name
        response = self._get_response(request)
        response.headers["X-Request-Id"] = name
        return response


class RefuseNul:
    """Answers 400 to a URL that contains NUL, which PostgreSQL's text types cannot hold."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "%00" in request.META.get("QUERY_STRING", "") or "\x00" in request.path_info:
            raise BadRequest("the address holds a NUL")
        return self._get_response(request)


class PolicyHeaders:
    """Sets a Content-Security-Policy for our own files only, and forbids caching, unless the view set these headers."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-store, private"
            patch_vary_headers(response, ("Cookie", "X-API-Key", "X-Organization"))
        return response


def drain(request: HttpRequest) -> None:
    """Read and discard a bounded part of the body: a client that is still sending would not read the response."""
    left = _DRAINED_BYTES
    while left > 0 and (chunk := request.read(65_536)):
        left -= len(chunk)


class BodyLimit:
    """Answers 413 to a request whose Content-Length exceeds one megabyte; nothing of its body is kept."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        announced = request.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
            drain(request)
            message = f"The body is larger than {MAX_BODY_BYTES:,} bytes."
            return JsonResponse(error_body("payload_too_large", message), status=413)
        return self._get_response(request)
