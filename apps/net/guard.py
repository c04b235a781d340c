"""Which addresses may be connected to. Judged on the literal address at connect time, so a name cannot be rebound."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, urlsplit

import idna

from apps.net.errors import BadHostError
from apps.net.special_addresses import Address, Network, Reach, embedded_ipv4, reach_of

REFUSED = "an address that this deployment does not probe"
"""How a refusal is told: which address a name of somebody else's network leads to is not the tenant's to learn."""
_MEMO_LIMIT = 50_000
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
# What inet_aton(3) accepts beyond dotted quads (2130706433, 0x7f.1, 0177.0.0.1, 127.1): an address in disguise.
_DISGUISED = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+))*\.?", re.ASCII)


@dataclass(frozen=True)
class AddressPolicy:
    """Public addresses are permitted; private, loopback and link-local ones only with `private`.

    `deny` wins over `allow`, `allow` over everything else. Multicast, unspecified and reserved addresses are never permitted:
    `0.0.0.0` would reach this very host.
    """

    private: bool = False
    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    _memo: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def parse(cls, *, private: bool, allow: str = "", deny: str = "") -> AddressPolicy:
        """Networks as comma-separated CIDR. Raises ValueError for one that is malformed."""
        return cls(private, _networks(allow), _networks(deny))

    def permits(self, literal: str) -> bool:
        """Whether a connection to this literal address may be opened."""
        known = self._memo.get(literal)
        if known is None:
            if len(self._memo) >= _MEMO_LIMIT:
                self._memo.clear()
            known = self._memo[literal] = self._judge(ipaddress.ip_address(literal.partition("%")[0]))
        return known

    def _judge(self, given: Address) -> bool:
        address = embedded_ipv4(given)
        if _inside(address, self.deny) or _inside(given, self.deny):
            return False
        if _inside(address, self.allow):
            return True
        reach = reach_of(address)
        return reach is Reach.GLOBAL or (reach is Reach.LOCAL and self.private)


def _inside(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


_SAFE = "%/:?#[]@!$&'()*+,;=~"
_LONGEST_KEPT, _LONGEST_HOST = 500, 1_000
"""Characters: what redirects name is not ours to keep at any length."""


def sendable(url: str) -> str:
    """The URL in ASCII: the host canonical, path and query percent-encoded (RFC 3986), no fragment.

    Raises BadHostError; ValueError when it is no URL at all.
    """
    return _kept_sendable(url) if len(url) <= _LONGEST_KEPT else _sendable(url)


def _sendable(url: str) -> str:
    parts = urlsplit(url)
    host = canonical_host(parts.hostname or "")
    authority = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port is not None else ""
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    return f"{parts.scheme}://{authority}{port}{quote(parts.path, safe=_SAFE) or '/'}{query}"


_kept_sendable = lru_cache(maxsize=20_000)(_sendable)


@lru_cache(maxsize=20_000)
def literal(host: str) -> str | None:
    """The canonical form of a literal address, or None for a name."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None


@lru_cache(maxsize=20_000)
def canonical_host(host: str) -> str:
    """The host as it is looked up: a literal address, or a lower-case ASCII name without a trailing dot.

    Raises BadHostError for names that no resolver could answer and for addresses in disguise (`0x7f.1`, `2130706433`).
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
    """By IDNA 2008 after UTS 46, non-transitional, as browsers do it: `faß.de` is not `fass.de`. Raises BadHostError."""
    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        return ".".join(_ascii_label(label) for label in mapped.split("."))
    except (idna.IDNAError, UnicodeError) as error:
        raise BadHostError(f"{host!r} is not a valid host name") from error


def _ascii_label(label: str) -> str:
    """Symbols (emoji) are not among what IDNA 2008 registers, and are looked up all the same."""
    if label.isascii():
        return label.lower()
    try:
        return idna.alabel(label).decode()
    except idna.InvalidCodepoint:
        if not any(unicodedata.category(character) == "So" for character in label):
            raise
        return f"xn--{label.encode('punycode').decode()}"
