"""What a kind of channel is. Adding one is a module in `channels/` and a line in `registry`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

TIMEOUT_S = 15.0
"""A send gives up well before its lease ends."""


class ConfigError(ValueError):
    """A config that cannot be used; `field` is its name (`config.url`)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class SendError(Exception):
    """The channel did not take the message. `retry_after_s` is what it asked for; a permanent one is not tried again."""

    def __init__(self, message: str, *, retry_after_s: float | None = None, is_permanent: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.is_permanent = is_permanent


@dataclass(frozen=True)
class Message:
    """One event as a channel gets it. `key` is the same for every try: receivers may drop what they have seen."""

    key: str
    event: str
    payload: Mapping[str, Any]
    """`apps.incidents.payloads`, or that of a test."""
    timestamp: str


@dataclass(frozen=True)
class ConfigField:
    """How a form asks for a part of a config. `parse` alone judges what is given."""

    name: str
    label: str
    help: str = ""
    is_list: bool = False
    """Texts, one to a line."""
    is_required: bool = True


@dataclass(frozen=True)
class ChannelKind:
    name: str
    title: str
    parse: Callable[[Mapping[str, Any]], dict[str, Any]]
    """A config as given to one as kept. Raises ConfigError."""
    send: Callable[[Mapping[str, Any], Message], None]
    """Raises SendError."""
    fields: tuple[ConfigField, ...]
    secret_fields: tuple[str, ...] = ()
    """Masked for everybody."""
    address_fields: tuple[str, ...] = ()
    """URLs that may hold a secret: shown whole to admins alone."""
    confirmed_field: str | None = None
    """The field of e-mail addresses that get nothing before their owners agree."""
    lease: timedelta = timedelta(seconds=60)
    """How long a send may take at the worst; then another sender may try."""
