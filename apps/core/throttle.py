"""How often something may be tried: counted in the cache. A cache that is away limits nobody: the product goes on without it."""

from __future__ import annotations

import hashlib
import logging

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

# What is guessed at, and how often in a minute.
ACCOUNT = ("account", 10)
"""Guesses at one account, from wherever they come."""
ADDRESS = ("address", 30)
"""Guesses from one address, at whatever account."""
TRIAL = ("trial", 30)
"""A trial goes to any address at once: it must not become a scanner. By user or key."""
CHANNEL_TEST = ("channel-test", 20)
"""A test goes out to somebody: it must not become a relay. By user or key."""
PING_CREATE = ("ping-create", 60)
"""New heartbeats made by pings, of a project."""
_WINDOW_S = 60


def may_try(limit: tuple[str, int], who: str) -> bool:
    """Count a try of `who`, and say whether it is still within the limit of this minute."""
    name, most = limit
    key = f"tries:{name}:{hashlib.sha256(who.strip().lower().encode(errors='replace')).hexdigest()}"
    try:
        cache.add(key, 0, _WINDOW_S)
        return bool(cache.incr(key) <= most)
    except ValueError:  # it ended between the two
        return True
    except (RedisError, OSError) as error:
        log.warning("tries are not limited: %s", error)
        return True


def client_address(request: HttpRequest) -> str:
    """Of the client, as the last trusted proxy saw it."""
    forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    if settings.PROXIES and forwarded:
        return str(forwarded[-min(settings.PROXIES, len(forwarded))])
    return str(request.META.get("REMOTE_ADDR", ""))
