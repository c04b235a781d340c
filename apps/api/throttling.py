"""Requests per key or user. A cache that is away limits nobody: the API goes on without it."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from apps.api.caller import Caller

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


class ChannelTestThrottle(CallerThrottle):
    """A test goes out to somebody: it must not become a relay."""

    scope = "channel_test"


class AccountThrottle(_Lenient):
    """Guesses at one account, from wherever they come."""

    scope = "account"

    def get_cache_key(self, request: Request, _view: APIView) -> str | None:
        email = request.data.get("email") if isinstance(request.data, dict) else None
        if not isinstance(email, str):
            return None
        return f"throttle:account:{hashlib.sha256(email.strip().lower().encode(errors='replace')).hexdigest()}"


class LoginThrottle(_Lenient):
    """Guesses from one address, at whatever account."""

    scope = "login"

    def get_cache_key(self, request: Request, _view: APIView) -> str | None:
        return f"throttle:login:{self.get_ident(request)}"
