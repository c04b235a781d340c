"""Hosts and URLs in the one form in which they are compared, resolved and sent."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote, urlsplit

import idna

from apps.net.errors import BadHostError

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
# Obfuscated IPv4 addresses: what inet_aton(3) accepts beyond dotted quads (2130706433, 0x7f.1, 0177.0.0.1, 127.1).
_DISGUISED = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+))*\.?", re.ASCII)
_SAFE = "%/:?#[]@!$&'()*+,;=~"
_LONGEST_KEPT, _LONGEST_HOST = 500, 1_000
"""In characters. Longer URLs are not cached (targets choose those of redirects); longer hosts are refused."""


def sendable(url: str) -> str:
    """Return the URL as it is sent, in ASCII: canonical host, percent-encoded path and query (RFC 3986), no fragment.

    Raises BadHostError for an invalid host and ValueError for an invalid URL.
    """
    return _kept_sendable(url) if len(url) <= _LONGEST_KEPT else _sendable(url)


def _sendable(url: str) -> str:
    parts = urlsplit(url)
    host = canonical_host(parts.hostname or "")
    port = f":{parts.port}" if parts.port is not None else ""
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    return f"{parts.scheme}://{bracketed(host)}{port}{quote(parts.path, safe=_SAFE) or '/'}{query}"


_kept_sendable = lru_cache(maxsize=20_000)(_sendable)


def bracketed(host: str) -> str:
    """Return a host as URLs write it (RFC 3986): an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def host_port(host: str, port: int) -> str:
    """Return `host:port` as URLs write it (RFC 3986)."""
    return f"{bracketed(host)}:{port}"


@lru_cache(maxsize=20_000)
def literal(host: str) -> str | None:
    """Return the canonical form of a literal IP address, or None if `host` is a name."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None


@lru_cache(maxsize=20_000)
def canonical_host(host: str) -> str:
    """Return the host in canonical form: an IP address, or a lower-case ASCII name without a trailing dot.

    Raises BadHostError for invalid names and for obfuscated addresses (`0x7f.1`, `2130706433`).
    """
    if len(host) > _LONGEST_HOST:
        raise BadHostError("the host is longer than a name may be")
    address = literal(host)
    if address is not None:
        return address
    name = host.lower() if host.isascii() else _ascii_name(host)
    if _DISGUISED.fullmatch(name):
        raise BadHostError(f"{host!r} is a number, not a host name: write the address in its usual form")
    name = name.removesuffix(".")
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise BadHostError(f"{host!r} is not a valid host name")
    return name


def _ascii_name(host: str) -> str:
    """Convert a name to ASCII as browsers do: UTS 46 mapping, non-transitional, then IDNA 2008. Raises BadHostError.

    Non-transitional means that `faß.de` is not turned into `fass.de`.
    """
    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        return ".".join(_ascii_label(label) for label in mapped.split("."))
    except (idna.IDNAError, UnicodeError) as error:
        raise BadHostError(f"{host!r} is not a valid host name") from error


def _ascii_label(label: str) -> str:
    """Convert one label to ASCII. Emoji are accepted although IDNA 2008 excludes them, because such domains exist."""
    if label.isascii():
        return label.lower()
    try:
        return idna.alabel(label).decode()
    except idna.InvalidCodepoint:
        if not any(unicodedata.category(character) == "So" for character in label):
            raise
        return f"xn--{label.encode('punycode').decode()}"
