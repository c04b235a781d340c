"""Rate limits per API key or user. While the cache is unavailable nothing is limited, so that the API keeps working."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from apps.api.caller import Caller
from apps.core.throttle import WINDOW_S, Limit, allow_attempt
from apps.orgs.models import Project

if TYPE_CHECKING:
    from rest_framework.views import APIView

log = logging.getLogger(__name__)


class _Lenient(SimpleRateThrottle):
    def allow_request(self, request: Request, view: APIView) -> bool:
        try:
            return super().allow_request(request, view)
        except (RedisError, OSError) as error:
            log.warning("requests are not limited: %s", error)
            return True


class CallerThrottle(_Lenient):
    scope = "caller"

    def get_cache_key(self, request: Request, _view: APIView) -> str | None:
        caller = request.auth
        if not isinstance(caller, Caller):
            return None
        return f"throttle:{self.scope}:{caller.key.pk if caller.key else caller.user and caller.user.pk}"


def ensure_within(limit: Limit, project: Project) -> None:
    """Count an attempt against a project's limit, which the dashboard shares. Raises Throttled (429).

    The limit is per project and not per key, because a key can create further keys.
    """
    if not allow_attempt(limit, str(project.pk)):
        raise Throttled(wait=WINDOW_S)
