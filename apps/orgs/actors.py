"""The actor of an operation (a user, an API key, a ping or the system), which services take for the audit log.

No database access.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from apps.core.client_address import address_in

if TYPE_CHECKING:
    from apps.orgs.models import ApiKey, User

Kind = Literal["user", "api_key", "ping", "system"]


@dataclass(frozen=True)
class Actor:
    """Who performs an operation, and from where. `name` is a copy: the account or key may be deleted later."""

    kind: Kind
    id: uuid.UUID | None = None
    name: str = ""
    address: str = ""
    user_agent: str = ""
    request_id: str = ""


SYSTEM = Actor("system", name="GoUpTime")
"""The product itself, or an operator at its command line."""


def user_actor(user: User, environ: Mapping[str, Any]) -> Actor:
    """Return the actor of a user's request."""
    return Actor("user", user.pk, user.email, **_request(environ))


def key_actor(key: ApiKey, environ: Mapping[str, Any]) -> Actor:
    """Return the actor of a request with an API key."""
    return Actor("api_key", key.pk, f"{key.name} ({key.prefix}…)", **_request(environ))


def ping_actor(project_id: uuid.UUID, *, address: str, user_agent: str) -> Actor:
    """Return the actor of a ping with a project's ping key."""
    return Actor("ping", project_id, "ping key", address[:45], user_agent[:200])


def _request(environ: Mapping[str, Any]) -> dict[str, str]:
    return {
        "address": address_in(environ)[:45],
        "user_agent": str(environ.get("HTTP_USER_AGENT", ""))[:200].replace("\x00", ""),
        "request_id": str(environ.get("goruptime.request_id", "")),
    }
