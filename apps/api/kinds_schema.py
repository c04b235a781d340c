"""Adds the options of every kind of check to the OpenAPI schema, generated from the registry."""

from __future__ import annotations

from typing import Any

from apps.probes.contract import Kind, OptionField
from apps.probes.registry import KINDS

_TYPES: dict[str, dict[str, Any]] = {
    "whole": {"type": "integer", "nullable": True},
    "flag": {"type": "boolean"},
    "list": {"type": "array", "items": {"type": "string"}},
    "lines": {"type": "array", "items": {"type": "string"}},
    "headers": {"type": "object", "additionalProperties": {"type": "string"}},
}
_ASKED = ("NewCheck", "NewCheckRequest", "PatchedNewCheckRequest", "PatchedNewCheck")


def describe_kinds(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """Set the values of `kind` and the schemas of `options`. A postprocessing hook of drf-spectacular."""
    schemas = result["components"]["schemas"]
    for kind in KINDS.values():
        schemas[_name(kind)] = _options(kind)
    options = {"oneOf": [{"$ref": f"#/components/schemas/{_name(kind)}"} for kind in KINDS.values()]}
    for name in filter(schemas.__contains__, _ASKED):
        schemas[name]["properties"]["options"] = {**options, "description": "Those of the kind."}
        schemas[name]["properties"]["kind"] = {"type": "string", "enum": list(KINDS)}
    return result


def _name(kind: Kind) -> str:
    return f"{kind.name.title()}Options"


def _options(kind: Kind) -> dict[str, Any]:
    properties = {field.name: _property(kind, field) for field in kind.option_fields}
    return {"type": "object", "description": kind.proves, "properties": properties, "additionalProperties": False}


def _property(kind: Kind, field: OptionField) -> dict[str, Any]:
    shape = dict(_TYPES.get(field.shape, {"type": "string"}))
    if field.choices:
        shape["enum"] = [value for value, _ in field.choices]
    secret = "Encrypted, and shown masked." if field.name in kind.secret_options else ""
    return {**shape, "description": " ".join(part for part in (f"{field.label}.", field.help, secret) if part)}
