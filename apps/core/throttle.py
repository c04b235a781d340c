"""How often something may be tried: counted in the cache. A cache that is away limits nobody: the product goes on without it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

WINDOW_S = 60


@dataclass(frozen=True)
class Limit:
    """So many tries a minute of one who tries."""

    name: str
    most: int


def may_try(limit: Limit, who: str, *, count: int = 1) -> bool:
    """Count `count` tries of `who`, and say whether they are still within the limit of this minute."""
    key = f"tries:{limit.name}:{hashlib.sha256(who.encode(errors='replace')).hexdigest()}"
    try:
        cache.add(key, 0, WINDOW_S)
        return bool(cache.incr(key, count) <= limit.most)
    except ValueError:  # it ended between the two
        return True
    except (RedisError, OSError) as error:
        log.warning("tries are not limited: %s", error)
        return True


def client_address(request: HttpRequest) -> str:
    """Of the client, as the last trusted proxy saw it."""
    return address_in(request.META)


def address_in(environ: Mapping[str, Any]) -> str:
    """The same of a WSGI environment."""
    forwarded = [part.strip() for part in str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",") if part.strip()]
    if settings.PROXIES and forwarded:
        return str(forwarded[-min(settings.PROXIES, len(forwarded))])
    return str(environ.get("REMOTE_ADDR", ""))
