"""Strict requests: unknown query parameters and fields, read-only fields and wrong JSON types are refused, never ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from django.db.models import TextField
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import BasePagination
from rest_framework.request import Request

from apps.core.clock import timestamp
from apps.core.text import validate_line

F = TypeVar("F", bound=Callable[..., Any])


def operation(*, parameters: Sequence[OpenApiParameter] = (), request: Any = empty, **documented: Any) -> Callable[[F], F]:
    """Document a method of a view, and declare what it takes: these query parameters and, with `request=None`, no body."""

    def declare(method: F) -> F:
        method.query_parameters = frozenset(parameter.name for parameter in parameters)  # type: ignore[attr-defined]  # a function
        method.takes_body = request is not None  # type: ignore[attr-defined]  # a function
        return extend_schema(parameters=list(parameters), request=request, **documented)(method)

    return declare


# The base of all views: refuses query parameters and bodies that the method does not declare (`operation`). A view with a
# `pagination_class` also takes its cursor and limit. Not a docstring: every operation of the schema would inherit it.
class StrictRequests(GenericAPIView[Any]):
    pagination_class: type[BasePagination] | None = None

    def initial(self, request: Request, *arguments: Any, **options: Any) -> None:
        super().initial(request, *arguments, **options)
        method = getattr(self, (request.method or "").lower(), None)
        known = set(getattr(method, "query_parameters", ()))
        if self.pagination_class is not None and request.method in ("GET", "HEAD"):
            known |= {"cursor", "limit"}
        errors = {name: ["Is not a parameter here."] for name in request.query_params if name not in known}
        twice = {name: ["Is given twice."] for name, values in request.query_params.lists() if len(values) > 1}
        if not getattr(method, "takes_body", True):
            errors |= _undeclared_body(request)
        if errors | twice:
            raise ValidationError(twice | errors)


def _undeclared_body(request: Request) -> dict[str, list[str]]:
    if isinstance(request.data, Mapping):
        return {name: ["Is not a field here."] for name in request.data}
    return {"body": ["Must be empty."]} if request.data else {}


class StrictFields:
    """Mixin for serializers of requests. Raises ValidationError that names unknown and read-only fields."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            fields: Mapping[str, serializers.Field[Any, Any, Any, Any]] = self.fields  # type: ignore[attr-defined]  # of the serializer that it is mixed into
            unknown = {name: ["Is not a field here."] for name in data if name not in fields}
            fixed = {name: ["Cannot be written."] for name in data if name in fields and fields[name].read_only}
            if unknown or fixed:
                raise ValidationError({**unknown, **fixed})
        return super().to_internal_value(data)  # type: ignore[misc]  # of the serializer that it is mixed into


class StrictCharField(serializers.CharField):
    """Takes a JSON string only; DRF would convert the number 5 to a string."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise ValidationError("Must be a text.")
        return str(super().to_internal_value(data))


class StrictLineField(StrictCharField):
    """Takes one line of text, like a name."""

    default_validators = [validate_line]


class StrictBooleanField(serializers.BooleanField):
    """Takes `true` or `false` only; DRF would convert strings and numbers."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise ValidationError("Must be true or false.")
        return data


class StrictIntegerField(serializers.IntegerField):
    """Takes a JSON integer only; DRF would convert a string of digits."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            raise ValidationError("Must be a whole number.")
        return int(super().to_internal_value(data))


class StrictSlugField(serializers.SlugField):
    """Takes a JSON string only; DRF would convert a number."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise ValidationError("Must be a text.")
        return str(super().to_internal_value(data))


class TimestampField(serializers.DateTimeField):
    """Shows a moment as every other answer does: RFC 3339, UTC, milliseconds."""

    def to_representation(self, value: Any) -> str:
        return timestamp(value)


class StrictSerializer(StrictFields, serializers.Serializer[Any]):
    pass


class StrictModelSerializer(StrictFields, serializers.ModelSerializer[Any]):
    serializer_field_mapping = {
        field: {
            serializers.CharField: StrictCharField if field is TextField else StrictLineField,
            serializers.SlugField: StrictSlugField,
            serializers.BooleanField: StrictBooleanField,
            serializers.IntegerField: StrictIntegerField,
            serializers.DateTimeField: TimestampField,
        }.get(made, made)
        for field, made in serializers.ModelSerializer.serializer_field_mapping.items()
    }
