"""The API's documentation page: our own files only, no inline script."""

from __future__ import annotations

from typing import Any

from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

# Swagger UI styles its elements in place; scripts stay our own files.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; object-src 'none'"


class Docs(SpectacularSwaggerSplitView):
    schema = None  # a page, no operation

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]  # the library is untyped here
        response.headers["Content-Security-Policy"] = _POLICY
        return response
