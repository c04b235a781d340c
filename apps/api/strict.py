"""Strict serializers for requests: unknown fields, read-only fields and wrong JSON types are refused, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError


class StrictFields:
    """Mixin for serializers of requests. Raises ValidationError that names unknown and read-only fields."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            fields: Mapping[str, serializers.Field[Any, Any, Any, Any]] = self.fields  # type: ignore[attr-defined]
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


class StrictSerializer(StrictFields, serializers.Serializer[Any]):
    pass


class StrictModelSerializer(StrictFields, serializers.ModelSerializer[Any]):
    serializer_field_mapping = {
        field: {
            serializers.CharField: StrictCharField,
            serializers.SlugField: StrictSlugField,
            serializers.BooleanField: StrictBooleanField,
            serializers.IntegerField: StrictIntegerField,
        }.get(made, made)
        for field, made in serializers.ModelSerializer.serializer_field_mapping.items()
    }
