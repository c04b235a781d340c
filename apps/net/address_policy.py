"""The address policy: which addresses may be connected to.

It is applied to the literal address at connect time, so that DNS rebinding cannot circumvent it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from apps.net.errors import NetError
from apps.net.special_addresses import Address, Network, Reach, embedded_ipv4, reach_of

REFUSED = "an address that this deployment does not probe"
"""Text for a refused address. It does not contain the address, which may belong to somebody else's internal network."""
_MEMO_LIMIT = 50_000


@dataclass(frozen=True)
class AddressPolicy:
    """Which addresses may be connected to: public ones, and with `private` also private, loopback and link-local ones.

    `deny` takes precedence over `allow`, and `allow` over everything else. Multicast, unspecified and reserved
    addresses are refused unless `allow` contains them: `0.0.0.0` would reach this host.
    """

    private: bool = False
    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    _memo: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def parse(cls, *, private: bool, allow: str = "", deny: str = "") -> AddressPolicy:
        """Build a policy from comma-separated networks in CIDR notation. Raises ValueError for a malformed one."""
        return cls(private, _networks(allow), _networks(deny))

    def permits(self, literal: str) -> bool:
        """Tell whether a connection to this literal address may be opened."""
        known = self._memo.get(literal)
        if known is None:
            if len(self._memo) >= _MEMO_LIMIT:
                self._memo.clear()
            known = self._memo[literal] = self._judge(ipaddress.ip_address(literal.partition("%")[0]))
        return known

    def ensure_permits(self, host: str, addresses: Iterable[str]) -> None:
        """Raise NetError `blocked_address` if any address of `host` is refused.

        One is enough: the next DNS answer might contain only the refused address.
        """
        if not all(map(self.permits, addresses)):
            raise NetError("blocked_address", f"{host} leads to {REFUSED}")

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
