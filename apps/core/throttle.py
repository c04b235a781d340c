"""Rate limits, counted in the cache. While it is unavailable nothing is limited, so that the product keeps working."""

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
    """A limit of `most` attempts per minute for each subject (an account, an address, a project)."""

    name: str
    most: int


def allow_attempt(limit: Limit, who: str, *, count: int = 1) -> bool:
    """Count `count` attempts of `who`. Returns whether they are still within the limit of the current minute."""
    key = f"tries:{limit.name}:{hashlib.sha256(who.encode(errors='replace')).hexdigest()}"
    try:
        cache.add(key, 0, WINDOW_S)
        return bool(cache.incr(key, count) <= limit.most)
    except ValueError:  # the key expired between `add` and `incr`
        return True
    except (RedisError, OSError) as error:
        log.warning("tries are not limited: %s", error)
        return True


def client_address(request: HttpRequest) -> str:
    """Return the client's IP address as the last trusted proxy saw it (GORUPTIME_PROXIES)."""
    return address_in(request.META)


def address_in(environ: Mapping[str, Any]) -> str:
    """Return the client's IP address from a WSGI environment, as `client_address` does from a request."""
    forwarded = [part.strip() for part in str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",") if part.strip()]
    if settings.PROXIES and forwarded:
        return str(forwarded[-min(settings.PROXIES, len(forwarded))])
    return str(environ.get("REMOTE_ADDR", ""))
