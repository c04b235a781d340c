"""Password sign-in, with the same limits and the same failure for the page, the API and the admin."""

from __future__ import annotations

from django.contrib.auth import authenticate
from django.http import HttpRequest

from apps.core.client_address import client_address
from apps.core.throttle import Limit, allow_attempt
from apps.orgs.emails import normalized_email
from apps.orgs.models import User

PER_ACCOUNT = Limit("account", 10)
"""Sign-in attempts per minute for one account, from all addresses."""
PER_ADDRESS = Limit("address", 30)
"""Sign-in attempts per minute from one address, for all accounts."""


class TooManyTriesError(Exception):
    """The limit of sign-in attempts per minute is exceeded."""


def check_password(request: HttpRequest, *, email: str, password: str) -> User | None:
    """Return the active user with this e-mail address and password, or None.

    Raises TooManyTriesError, in which case the password was not checked.
    """
    is_account_free = allow_attempt(PER_ACCOUNT, normalized_email(email))
    if not (allow_attempt(PER_ADDRESS, client_address(request)) and is_account_free):
        raise TooManyTriesError
    user = authenticate(request, username=email, password=password)
    return user if isinstance(user, User) else None
