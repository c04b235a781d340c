"""The interface of a channel kind. A new kind is a module in `channels/` and an entry in `registry`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

TIMEOUT_S = 15.0
"""Timeout of a webhook request; it ends well before the lease of the delivery."""


class SendError(Exception):
    """The channel did not accept the message. `retry_after_s`: the pause it asked for. Permanent: do not retry."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.is_permanent = is_permanent


@dataclass(frozen=True)
class Message:
    """An event as given to a channel. `key` is the same for every attempt, so that receivers can drop duplicates."""

    key: str
    event: str
    payload: Mapping[str, Any]
    """Built by `apps.incidents.payloads`, or by `send_test` for a test."""
    timestamp: str


@dataclass(frozen=True)
class ConfigField:
    """How a form asks for one field of a config. Validation is up to the kind's `parse` alone."""

    name: str
    label: str
    help: str = ""
    is_list: bool = False
    """The value is a list of strings, entered one per line."""
    is_required: bool = True


@dataclass(frozen=True)
class ChannelKind:
    name: str
    title: str
    parse: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Validate a config and return it as it is stored. Raises FieldError."""
    send: Callable[[Mapping[str, Any], Message], None]
    """Send one message. Raises SendError."""
    fields: tuple[ConfigField, ...]
    secret_fields: tuple[str, ...] = ()
    """Fields that are masked for everybody."""
    address_fields: tuple[str, ...] = ()
    """URLs that may contain a secret: only admins see them in full."""
    confirmed_field: str | None = None
    """The field with e-mail addresses, which get nothing until their owners have confirmed them."""
    lease: timedelta = timedelta(seconds=60)
    """The longest time that a send may take; after that another worker may claim the delivery."""
