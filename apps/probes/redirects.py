"""Follow HTTP redirects: build the request for the next hop and decide whether it is allowed. Pure.

Each hop is an exchange of its own, to which the address policy applies.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from apps.net.hosts import sendable
from apps.net.http import Response
from apps.net.request import Request
from apps.probes.contract import OptionError
from apps.probes.reasons import Reason
from apps.probes.targets import url_host

_LONGEST = 16_000
"""Maximum length of a redirect's URL; sign-in flows use long ones."""
CODES = frozenset({301, 302, 303, 307, 308})
_FOR_EVERYBODY = frozenset({"accept", "accept-language", "user-agent", "cache-control", "pragma"})
"""Headers that are also sent to other origins."""


def redirected(request: Request, response: Response, location: str) -> Request:
    """Return the request for the next hop. Raises ValueError or OptionError.

    Credentials and custom headers are sent only to their own origin; cookies follow RFC 6265.
    """
    status = response.status
    url = sendable(urljoin(request.url, location))
    url_host(url, most=_LONGEST)
    before, after = urlsplit(request.url), urlsplit(url)
    rewritten = status == 303 or (status in (301, 302) and request.method == "POST")  # RFC 9110, 15.4
    keeps = not rewritten or request.method in ("GET", "HEAD")
    onward = replace(
        request,
        url=url,
        method=request.method if keeps else "GET",
        body=request.body if keeps else None,
        cookies=response.cookies,
    )
    if (before.scheme, before.netloc) == (after.scheme, after.netloc):
        return onward
    if onward.body is not None:
        raise OptionError("target", "a request's body is not sent on to another origin")
    headers = tuple((name, value) for name, value in request.headers if name.lower() in _FOR_EVERYBODY)
    return replace(onward, login=None, headers=headers)


def astray(before: str, after: str, *, stays_at: str | None, may_downgrade: bool) -> tuple[Reason, str] | None:
    """Return the reason and message why a redirect must not be followed, else None.

    `stays_at` is the only host that it may lead to, if any.
    """
    old, new = urlsplit(before), urlsplit(after)
    if old.scheme == "https" and new.scheme == "http" and not may_downgrade:
        return Reason.REDIRECT_DOWNGRADE, f"redirected from https to {after}"
    if stays_at is not None and (new.hostname or "") != stays_at:
        return Reason.REDIRECT_OTHER_HOST, f"[redirect.host] ({new.hostname}) == {stays_at}"
    return None
