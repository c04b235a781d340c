"""What callers of the services are told by name."""

from __future__ import annotations


class FieldError(ValueError):
    """A value that cannot be used. `field` is its name in the API."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
