"""What people see of a channel's config, and what they mean who send it back. Pure.

Secrets are masked for everybody. The address of a webhook is a secret too, for services that know their callers by it alone:
below admin it is shown as far as its host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from apps.monitors.services import MASK
from apps.notifications.contract import ChannelKind


def masked_config(kind: ChannelKind, config: Mapping[str, Any], *, is_admin: bool) -> dict[str, Any]:
    return {name: _masked(kind, name, value, is_admin=is_admin) for name, value in config.items()}


def unmasked_config(kind: ChannelKind, given: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """The config that is meant: a value that is shown in this very way stays what it is."""
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
