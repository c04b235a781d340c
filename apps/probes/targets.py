"""Parse the targets of checks as users enter them."""

from __future__ import annotations

from urllib.parse import urlsplit

from apps.net.errors import BadHostError
from apps.net.hosts import canonical_host, literal
from apps.probes.contract import OptionError


def host_of(target: str) -> str:
    """Return a host name or address in canonical form. Raises OptionError for the field `target`."""
    try:
        return canonical_host(target)
    except BadHostError as error:
        raise OptionError("target", str(error)) from error


def endpoint(target: str, default_port: int | None = None) -> tuple[str, int]:
    """Parse `host:port`, with IPv6 addresses in brackets; return (host, port). Raises OptionError for `target`.

    The port may be omitted if there is a default.
    """
    host, colon, port = target.rpartition(":")
    if default_port is not None and (not colon or literal(target) is not None or target.endswith("]")):
        return host_of(target), default_port
    if not colon or not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise OptionError("target", "must be host:port, with an IPv6 address in brackets")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65_535):
        raise OptionError("target", "must end in a port from 1 to 65535")
    return host_of(host), int(port)


def authority_of(typed: str) -> tuple[str, str]:
    """Split user input (a URL, a host, host:port) into (scheme in lower case or empty, host and port)."""
    scheme, separator, rest = typed.partition("://")
    authority = (rest if separator else typed).partition("/")[0].partition("?")[0].rpartition("@")[2]
    return (scheme.lower() if separator else "", authority)


def url_host(target: str, *, most: int = 2_000) -> str:
    """Return the canonical host of an HTTP or HTTPS URL. Raises OptionError for `target`."""
    if len(target) > most or not target.isprintable() or " " in target:
        raise OptionError("target", f"must be a URL of at most {most:,} characters without spaces")
    try:
        url = urlsplit(target)
        port = url.port
    except ValueError as error:
        raise OptionError("target", f"is not a valid URL: {error}") from error
    if url.scheme not in ("http", "https"):
        raise OptionError("target", "must be a URL that begins with http:// or https://")
    if url.username is not None or url.password is not None:
        raise OptionError("target", "must not hold a user name or password: send them in a header")
    if not url.hostname or port == 0:
        raise OptionError("target", "must name a host" if port != 0 else "must not have port 0")
    try:
        return canonical_host(url.hostname)
    except BadHostError as error:
        raise OptionError("target", str(error)) from error
