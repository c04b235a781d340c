"""Serializers for what is sent: every given field has its effect, or is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError


class StrictFields:
    """For serializers of requests. Raises ValidationError that names what is no field, or may not be written."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            fields: Mapping[str, serializers.Field[Any, Any, Any, Any]] = self.fields  # type: ignore[attr-defined]
            unknown = {name: ["Is not a field here."] for name in data if name not in fields}
            fixed = {name: ["Cannot be written."] for name in data if name in fields and fields[name].read_only}
            if unknown or fixed:
                raise ValidationError({**unknown, **fixed})
        return super().to_internal_value(data)  # type: ignore[misc]  # of the serializer that it is mixed into


class StrictCharField(serializers.CharField):
    """A text, and nothing that could be made one: the name 5 is a mistake."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise ValidationError("Must be a text.")
        return str(super().to_internal_value(data))


class StrictBooleanField(serializers.BooleanField):
    """`true` or `false`."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise ValidationError("Must be true or false.")
        return data


class StrictIntegerField(serializers.IntegerField):
    """A whole number, not a text that reads like one."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            raise ValidationError("Must be a whole number.")
        return int(super().to_internal_value(data))


class StrictSerializer(StrictFields, serializers.Serializer[Any]):
    pass


class StrictModelSerializer(StrictFields, serializers.ModelSerializer[Any]):
    serializer_field_mapping = {
        field: {
            serializers.CharField: StrictCharField,
            serializers.BooleanField: StrictBooleanField,
            serializers.IntegerField: StrictIntegerField,
        }.get(made, made)
        for field, made in serializers.ModelSerializer.serializer_field_mapping.items()
    }
