"""OAuth 2.0 access tokens by client credentials (RFC 6749, 4.4), cached in memory until shortly before they expire."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from urllib.parse import quote, urlencode

from apps.net.errors import NetError
from apps.net.network import Network
from apps.net.request import Request
from apps.probes import json_paths

_KEPT = 10_000
_EARLY_S, _LONGEST_S = 60.0, 10**9
"""Tokens are renewed `_EARLY_S` before they expire. A longer lifetime than `_LONGEST_S` is not believed."""
_SHOWN = 200
_OK = 200

Grant = tuple[str, str, str, str]
"""(token URL, client id, client secret, scope): the cache key of a token."""
_tokens: dict[Grant, tuple[str, float]] = {}


async def token(grant: Grant, asking: Request, network: Network, until: float) -> str:
    """Return an access token. Raises NetError.

    `asking` is the check's request, whose proxy, name server and TLS settings are used for the token request, too.
    """
    loop = asyncio.get_running_loop()
    known = _tokens.get(grant)
    if known is not None and known[1] > loop.time():
        return known[0]
    url, client, secret, scope = grant
    form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
    credentials = base64.b64encode(f"{quote(client, safe='')}:{quote(secret, safe='')}".encode()).decode()
    headers = (
        ("Authorization", f"Basic {credentials}"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Accept", "application/json"),
    )
    request = replace(
        asking,
        url=url,
        method="POST",
        headers=headers,
        body=urlencode(form).encode(),
        login=None,
        keep_bytes=65_536,
        max_bytes=65_536,
    )
    response = await network.http.exchange(request, until)
    if response.error is not None:
        raise NetError(response.error.code, f"asking {url} for a token: {response.error.message}")
    found = json_paths.parse_json(response.body.decode("utf-8", "replace"))
    value = found.get("access_token") if isinstance(found, dict) else None
    if response.status != _OK or not isinstance(value, str) or not value.isascii() or not value.isprintable():
        said = found.get("error") if isinstance(found, dict) else None
        message = f"{url} gives no token: answered {response.status}, expected 200{f', {said}'[:_SHOWN] if said else ''}"
        raise NetError("auth_failed", message)
    lives_s = found.get("expires_in") if isinstance(found, dict) else None
    if isinstance(lives_s, (int, float)) and _EARLY_S < lives_s < _LONGEST_S:
        if len(_tokens) >= _KEPT:
            _tokens.clear()
        _tokens[grant] = (value, loop.time() + lives_s - _EARLY_S)
    return value


def kept(grant: Grant) -> str | None:
    """Return the cached token, or None."""
    return _tokens[grant][0] if grant in _tokens else None


def forget(grant: Grant) -> bool:
    """Remove a token that the server rejected from the cache; tell whether there was one."""
    return _tokens.pop(grant, None) is not None
