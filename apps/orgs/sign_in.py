"""Signing in: the same limits and the same answer for the page, the API and the admin."""

from __future__ import annotations

from django.contrib.auth import authenticate
from django.http import HttpRequest

from apps.core.throttle import Limit, client_address, may_try
from apps.orgs.emails import normalized_email
from apps.orgs.models import User

PER_ACCOUNT = Limit("account", 10)
"""Guesses at one account, from wherever they come."""
PER_ADDRESS = Limit("address", 30)
"""Guesses from one address, at whatever account."""


class TooManyTriesError(Exception):
    """This minute has seen as many guesses as it may."""


def check_password(request: HttpRequest, *, email: str, password: str) -> User | None:
    """The account of that address and password, or None. Raises TooManyTriesError; then nothing was compared."""
    is_account_free = may_try(PER_ACCOUNT, normalized_email(email))
    if not (may_try(PER_ADDRESS, client_address(request)) and is_account_free):
        raise TooManyTriesError
    user = authenticate(request, username=email, password=password)
    return user if isinstance(user, User) else None
