"""Rate limits, counted in the cache. While it is unavailable nothing is limited, so that the product keeps working."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from django.core.cache import cache
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
