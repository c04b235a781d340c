"""The OpenAPI schema as a document: generated once per process and format, because it is the same for everybody."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

documents: dict[str, tuple[bytes, dict[str, str]]] = {}
"""Content and headers by media type."""


class SchemaView(SpectacularAPIView):
    def handle_exception(self, exc: Exception) -> Any:
        """Return the error as JSON, like all other views, even to a client that asked for YAML."""
        self.request.accepted_renderer = JSONRenderer()
        self.request.accepted_media_type = JSONRenderer.media_type
        return super().handle_exception(exc)

    @extend_schema(exclude=True)
    def get(self, request: Request, *arguments: Any, **options: Any) -> Any:
        kind = str(request.accepted_renderer.media_type)
        if kind not in documents:
            response = super().get(request, *arguments, **options)  # type: ignore[no-untyped-call]  # the library has no types
            response.accepted_renderer, response.accepted_media_type = request.accepted_renderer, request.accepted_media_type
            response.renderer_context = self.get_renderer_context()
            content = response.rendered_content
            headers = {"Content-Type": str(response["Content-Type"]), "Content-Disposition": response["Content-Disposition"]}
            documents[kind] = (content, headers)
        content, headers = documents[kind]
        return HttpResponse(content, headers=headers)
