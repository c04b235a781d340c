"""Requests per key or user. A cache that is away limits nobody: the API goes on without it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from apps.api.caller import Caller
from apps.core.throttle import ACCOUNT, ADDRESS, CHANNEL_TEST, TRIAL, client_address, may_try

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


class _Counted(BaseThrottle):
    """Counted together with the same act on a page."""

    limit: tuple[str, int]

    def allow_request(self, request: Request, view: APIView) -> bool:
        caller = request.auth
        if not isinstance(caller, Caller):
            return True
        return may_try(self.limit, str(caller.key.pk if caller.key else caller.user and caller.user.pk))

    def wait(self) -> float:
        return 60.0


class ChannelTestThrottle(_Counted):
    limit = CHANNEL_TEST


class TrialThrottle(_Counted):
    limit = TRIAL


class SignInThrottle(BaseThrottle):
    """The same counts as the sign-in page's: guesses at one account, and guesses from one address."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        email = request.data.get("email") if isinstance(request.data, dict) else None
        is_known = may_try(ACCOUNT, email) if isinstance(email, str) else True
        return may_try(ADDRESS, client_address(request._request)) and is_known

    def wait(self) -> float:
        return 60.0
