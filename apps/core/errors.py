"""Errors that callers of the services handle."""

from __future__ import annotations


class FieldError(ValueError):
    """A field with an invalid value. `field` is its name in the API.

    `others` are errors of further fields of the same input, so that all of them can be shown at once.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.others: list[FieldError] = []

    @property
    def sentence(self) -> str:
        """The message as a sentence of its own."""
        return f"{self.message[:1].upper()}{self.message[1:]}."

    @property
    def all(self) -> list[FieldError]:
        return [self, *self.others]
