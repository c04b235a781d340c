"""What holds for every request and answer: what is refused unread, the content policy, and that nothing is kept on the way."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers

from apps.core.envelope import error_body

Handler = Callable[[HttpRequest], HttpResponse]

MAX_BODY_BYTES = 1_000_000
_REQUEST_ID = re.compile(r"[\w.-]{8,40}", re.ASCII)
_DRAINED_BYTES = 16_000_000
_POLICY = (
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)


class RequestId:
    """Names each request in the audit log and for whoever asks what came of it; a proxy's own name is kept."""

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
    """PostgreSQL's texts hold no NUL: an address that asks for one means nothing."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "%00" in request.META.get("QUERY_STRING", "") or "\x00" in request.path_info:
            raise BadRequest("the address holds a NUL")
        return self._get_response(request)


class PolicyHeaders:
    """No script or style but our own files, and nothing kept on the way; a view that needs other headers sets them."""

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
    """Take a bounded part of a body and forget it: a client that still sends would not see the answer."""
    left = _DRAINED_BYTES
    while left > 0 and (chunk := request.read(65_536)):
        left -= len(chunk)


class BodyLimit:
    """Refuses a body over one megabyte; nothing of it is kept."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        announced = request.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
            drain(request)
            message = f"The body is larger than {MAX_BODY_BYTES:,} bytes."
            return JsonResponse(error_body("payload_too_large", message), status=413)
        return self._get_response(request)
