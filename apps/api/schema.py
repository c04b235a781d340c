"""How views become the OpenAPI schema: every operation names the errors that it may answer, in the one error format."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent

_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "For programs; it does not change."},
                "message": {"type": "string", "description": "A sentence for people."},
                "details": {
                    "type": "object",
                    "description": "What is wrong with each field.",
                    "additionalProperties": {"type": "array", "items": {"type": "string"}},
                },
            },
        }
    },
}
_ALWAYS = {
    "400": "The request or one of its fields is invalid.",
    "401": "No valid key or session.",
    "403": "The role does not allow it.",
    "404": "There is no such object, or it belongs to somebody else.",
    "406": "The response is JSON only.",
    "429": "Too many requests; Retry-After says when to try again.",
}
_WITH_BODY = {"413": "The body is larger than 1 MB.", "415": "The body is not JSON."}
_WRITING = {"409": "The state of the object forbids it."}


class Schema(AutoSchema):
    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        is_writing = self.method in ("POST", "PUT", "PATCH", "DELETE")
        errors = _ALWAYS | (_WRITING | _WITH_BODY if is_writing else {})
        return bodies | {code: self._error(words) for code, words in errors.items() if code not in bodies}

    def _error(self, words: str) -> dict[str, Any]:
        component = ResolvedComponent("Error", ResolvedComponent.SCHEMA, _ERROR, object="Error")  # type: ignore[no-untyped-call]  # the library has no types
        self.registry.register_on_missing(component)
        return {"content": {"application/json": {"schema": component.ref}}, "description": words}
