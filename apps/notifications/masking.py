"""Masking of a channel's config for display, and unmasking of what a client sends back. No database access.

Secrets are masked for everybody. A webhook's URL is a secret too, for services that authenticate callers by it alone:
roles below admin see it only up to its host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from apps.core.masks import MASK
from apps.notifications.contract import ChannelKind


def masked_config(kind: ChannelKind, config: Mapping[str, Any], *, is_admin: bool) -> dict[str, Any]:
    return {name: _masked(kind, name, value, is_admin=is_admin) for name, value in config.items()}


def unmasked_config(kind: ChannelKind, given: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that was meant: a value that was sent back as it is shown keeps its stored value."""
    meant = dict(kept)
    for name, value in given.items():
        shown = [_masked(kind, name, kept[name], is_admin=is_admin) for is_admin in (True, False)] if name in kept else []
        meant[name] = kept[name] if value in shown else value
    return meant


def _masked(kind: ChannelKind, name: str, value: Any, *, is_admin: bool) -> Any:
    if name in kind.secret_fields:
        return MASK
    if name in kind.address_fields and not is_admin:
        parts = urlsplit(str(value))
        return f"{parts.scheme}://{parts.hostname or ''}/{MASK}"
    return value
