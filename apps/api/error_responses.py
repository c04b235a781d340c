"""Error responses: the JSON format of `core.envelope` for the API, HTML pages for people. None exposes internals."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ObjectDoesNotExist, RequestDataTooBig
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler

from apps.core.error_body import error_body
from apps.core.errors import FieldError
from apps.incidents.services.check_commands import StateForbidsError
from apps.orgs.services import KeyRoleError

_CODES = {
    400: "invalid",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "payload_too_large",
    415: "unsupported_media_type",
    429: "throttled",
}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an exception into an error response (DRF's EXCEPTION_HANDLER). None makes Django log it and answer 500."""
    if isinstance(error, FieldError):
        return _answer(400, "invalid", "Some fields cannot be used.", {known.field: [known.sentence] for known in error.all})
    if isinstance(error, KeyRoleError):
        return _answer(403, "forbidden", str(error))
    if isinstance(error, StateForbidsError):
        return _answer(409, error.code, str(error))
    if isinstance(error, RequestDataTooBig):
        return _answer(413, "payload_too_large", "The body is too large.")
    if isinstance(error, ObjectDoesNotExist):  # deleted while this request waited for its lock
        return _answer(404, "not_found", "There is nothing here.")
    if isinstance(error, IntegrityError):
        return _answer(409, "conflict", "Another request changed the same at the same moment. Try again.")
    if isinstance(error, (OperationalError, InterfaceError)):
        return _answer(503, "unavailable", "The database is not available. Try again.")
    if isinstance(error, exceptions.ValidationError):
        return _answer(400, "invalid", "Some fields cannot be used.", _details(error.detail))
    if isinstance(error, exceptions.ParseError):
        return _answer(400, "malformed", str(error.detail))
    response = exception_handler(error, context)
    if response is not None:
        detail = response.data.get("detail", "") if isinstance(response.data, dict) else ""
        response.data = error_body(_CODES.get(response.status_code, "error"), str(detail) or "The request failed.")
    return response


def _answer(code: int, name: str, message: str, details: dict[str, Any] | None = None) -> Response:
    return Response(error_body(name, message, details), status=code)


def _details(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """Flatten nested serializer errors to dotted field names."""
    if isinstance(detail, dict):
        flat: dict[str, list[str]] = {}
        for name, inner in detail.items():
            flat |= _details(inner, f"{prefix}.{name}" if prefix else str(name))
        return flat
    items = detail if isinstance(detail, list) else [detail]
    return {prefix or "body": [str(item) for item in items]}


def _is_for_programs(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_programs(request):
        return JsonResponse(error_body("not_found", "There is nothing here."), status=status.HTTP_404_NOT_FOUND)
    return render(request, "error.html", {"title": "Not found", "sentence": "There is no page at this address."}, status=404)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_programs(request):
        return JsonResponse(error_body("bad_request", "The request cannot be understood."), status=400)
    return render(request, "error.html", {"title": "Bad request", "sentence": "The request cannot be understood."}, status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    if _is_for_programs(request):
        return JsonResponse(error_body("internal", "Something failed on our side. It was logged."), status=500)
    return render(
        request, "error.html", {"title": "Failed", "sentence": "Something failed on our side. It was logged."}, status=500
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_for_programs(request):
        return JsonResponse(error_body("forbidden", "Your role does not allow this."), status=403)
    sentence = "Your role in this organization does not allow this."
    return render(request, "error.html", {"title": "Not allowed", "sentence": sentence}, status=403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if not _is_for_programs(request):
        sentence = "This form was too old, or came from elsewhere. Go back, reload the page and send it again."
        return render(request, "error.html", {"title": "Not sent", "sentence": sentence}, status=403)
    return JsonResponse(
        error_body("csrf", "The CSRF token is missing or wrong: send the cookie's value as X-CSRFToken."), status=403
    )
