"""The API reference: one page, rendered from the OpenAPI schema in the product's own look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Field:
    """A parameter of an address, or a field of a body or an answer."""

    name: str
    shape: str
    """Its type in words: `string (uuid)`, `list of Run`, `one of up, down`."""
    help: str
    is_required: bool = False


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    summary: str
    parameters: list[Field]
    body: list[Field]
    answers: list[tuple[str, str]]
    """(status, what it returns)"""


@dataclass(frozen=True)
class Section:
    """The operations of one noun."""

    title: str
    operations: list[Operation]


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    return render(request, "api/docs.html", {"sections": sections(), "schemas": schemas()})


@lru_cache(maxsize=1)
def _schema() -> Mapping[str, Any]:
    found: Mapping[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # untyped
    return found


@lru_cache(maxsize=1)
def sections() -> list[Section]:
    """Return every operation of the schema, by tag."""
    by_tag: dict[str, list[Operation]] = {}
    for path, methods in _schema()["paths"].items():
        for method in _METHODS:
            if method in methods:
                described = methods[method]
                by_tag.setdefault(described["tags"][0], []).append(_operation(path, method, described))
    return [Section(_title(tag), operations) for tag, operations in by_tag.items()]


@lru_cache(maxsize=1)
def schemas() -> list[tuple[str, list[Field]]]:
    """Return the objects that operations take and return, with their fields."""
    known = _schema()["components"]["schemas"]
    return [(name, list(_fields(schema))) for name, schema in known.items() if "properties" in schema]


def _title(tag: str) -> str:
    words = tag.replace("-", " ")
    return f"{words[0].upper()}{words[1:]}".replace("Api", "API")


_ONE = {
    "api-keys": "an API key", "channels": "a channel", "checks": "a check", "deliveries": "a delivery",
    "incidents": "an incident", "projects": "a project", "regions": "a region", "resources": "a resource",
    "status-pages": "a status page",
}  # fmt: skip
_VERBS = {"POST": "Create", "PATCH": "Change", "PUT": "Replace", "DELETE": "Delete"}


def plain_summary(path: str, method: str) -> str:
    """Return the words for an operation on a whole noun, which needs no others; empty of every other operation."""
    noun, _, rest = path.removeprefix("/api/v1/").partition("/")
    if noun not in _ONE or rest not in ("", "{id}/"):
        return ""
    if method == "GET":
        return f"Return {_ONE[noun]}." if rest else f"List {noun.replace('-', ' ').replace('api', 'API')}."
    return f"{_VERBS[method]} {_ONE[noun]}."


def _operation(path: str, method: str, described: Mapping[str, Any]) -> Operation:
    parameters = [
        Field(p["name"], _shape(p.get("schema", {})), p.get("description", ""), p.get("required", False))
        for p in described.get("parameters", [])
    ]
    answers = [(code, _returned(answer)) for code, answer in sorted(described.get("responses", {}).items())]
    content = described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    text = described.get("description") or described.get("summary") or plain_summary(path, method.upper())
    return Operation(described["operationId"], method.upper(), path, text, parameters, list(_fields(_resolved(content))), answers)


def _returned(answer: Mapping[str, Any]) -> str:
    content = answer.get("content", {}).get("application/json", {}).get("schema")
    return _shape(content) if content else str(answer.get("description") or "nothing")


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    found: Mapping[str, Any] = _schema()["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema
    return found


def _fields(schema: Mapping[str, Any]) -> Iterator[Field]:
    required = schema.get("required", [])
    for name, described in schema.get("properties", {}).items():
        yield Field(name, _shape(described), described.get("description", ""), name in required)


def _shape(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for combined in ("allOf", "oneOf", "anyOf"):
        if combined in schema:
            return " or ".join(_shape(part) for part in schema[combined])
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"] if value not in ("", None))
    if schema.get("type") == "array":
        return f"list of {_shape(schema.get('items', {}))}"
    named = schema.get("type", "any")
    shape = " or ".join(named) if isinstance(named, list) else str(named)
    return f"{shape} ({schema['format']})" if "format" in schema else shape
