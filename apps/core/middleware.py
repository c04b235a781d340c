"""What holds for every answer: the content policy, and a bound on what is read."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse

from apps.core.envelope import error_body

Handler = Callable[[HttpRequest], HttpResponse]

MAX_BODY_BYTES = 1_000_000
_DRAINED_BYTES = 16_000_000
_POLICY = (
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
)


class PolicyHeaders:
    """No script or style but our own files; a view that needs more sets the header itself."""

    def __init__(self, get_response: Handler) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", _POLICY)
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
