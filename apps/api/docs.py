"""The API's documentation page (Swagger UI), from our own files only and without inline scripts."""

from __future__ import annotations

from typing import Any

from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

# Swagger UI needs inline styles; scripts may come from our own files only.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; object-src 'none'"


class Docs(SpectacularSwaggerSplitView):
    schema = None  # a page, not an operation of the API

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]  # the library is untyped here
        response.headers["Content-Security-Policy"] = _POLICY
        return response
