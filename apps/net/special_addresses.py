"""Classify IP addresses by the IANA special-purpose address registries.

A table of our own, because that of Python's `ipaddress` differs between versions. Sources: iana-ipv4-special-registry
and iana-ipv6-special-registry (RFC 6890), as of 2026; ipv6-address-space for unassigned ranges; and Azure's platform
address, which is formally public but used privately.
"""

from __future__ import annotations

import ipaddress
from enum import Enum

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Reach(Enum):
    """From where an address can be reached."""

    GLOBAL = "global"
    LOCAL = "local"
    """Not globally reachable: loopback, link-local, private, documentation and similar ranges."""
    NEVER = "never"
    """No possible target: unspecified, multicast, reserved or unassigned."""


_REGISTRY: tuple[tuple[str, Reach], ...] = (
    ("0.0.0.0/0", Reach.GLOBAL),
    ("0.0.0.0/8", Reach.NEVER),  # this network (RFC 791): 0.0.0.0 would reach this host
    ("10.0.0.0/8", Reach.LOCAL),  # RFC 1918
    ("100.64.0.0/10", Reach.LOCAL),  # shared address space, RFC 6598
    ("127.0.0.0/8", Reach.LOCAL),  # loopback, RFC 1122
    ("168.63.129.16/32", Reach.LOCAL),  # Azure's platform services, reachable only from within Azure
    ("169.254.0.0/16", Reach.LOCAL),  # link local, RFC 3927; metadata services of clouds
    ("172.16.0.0/12", Reach.LOCAL),  # RFC 1918
    ("192.0.0.0/24", Reach.LOCAL),  # IETF protocol assignments, RFC 6890
    ("192.0.0.9/32", Reach.GLOBAL),  # PCP anycast, RFC 7723
    ("192.0.0.10/32", Reach.GLOBAL),  # TURN anycast, RFC 8155
    ("192.0.2.0/24", Reach.LOCAL),  # documentation, RFC 5737
    ("192.31.196.0/24", Reach.GLOBAL),  # AS112, RFC 7535
    ("192.52.193.0/24", Reach.GLOBAL),  # AMT, RFC 7450
    ("192.88.99.0/24", Reach.LOCAL),  # deprecated 6to4 relays, RFC 7526
    ("192.168.0.0/16", Reach.LOCAL),  # RFC 1918
    ("192.175.48.0/24", Reach.GLOBAL),  # AS112, RFC 7534
    ("198.18.0.0/15", Reach.LOCAL),  # benchmarking, RFC 2544
    ("198.51.100.0/24", Reach.LOCAL),  # documentation, RFC 5737
    ("203.0.113.0/24", Reach.LOCAL),  # documentation, RFC 5737
    ("224.0.0.0/4", Reach.NEVER),  # multicast, RFC 5771
    ("240.0.0.0/4", Reach.NEVER),  # reserved and broadcast, RFC 1112
    ("::/0", Reach.NEVER),  # not assigned
    ("::1/128", Reach.LOCAL),  # loopback, RFC 4291
    ("64:ff9b:1::/48", Reach.LOCAL),  # local IPv4/IPv6 translation, RFC 8215
    ("100::/64", Reach.LOCAL),  # discard, RFC 6666
    ("100:0:0:1::/64", Reach.LOCAL),  # dummy prefix, RFC 9780
    ("2000::/3", Reach.GLOBAL),  # global unicast, RFC 4291
    ("2001::/23", Reach.LOCAL),  # IETF protocol assignments, RFC 2928
    ("2001:1::1/128", Reach.GLOBAL),  # PCP anycast, RFC 7723
    ("2001:1::2/128", Reach.GLOBAL),  # TURN anycast, RFC 8155
    ("2001:1::3/128", Reach.GLOBAL),  # DNS-SD SRP anycast, RFC 9665
    ("2001:3::/32", Reach.GLOBAL),  # AMT, RFC 7450
    ("2001:4:112::/48", Reach.GLOBAL),  # AS112, RFC 7535
    ("2001:20::/28", Reach.GLOBAL),  # ORCHIDv2, RFC 7343
    ("2001:30::/28", Reach.GLOBAL),  # drone remote id, RFC 9374
    ("2001:db8::/32", Reach.LOCAL),  # documentation, RFC 3849
    ("2620:4f:8000::/48", Reach.GLOBAL),  # AS112, RFC 7534
    ("3fff::/20", Reach.LOCAL),  # documentation, RFC 9637
    ("5f00::/16", Reach.LOCAL),  # segment routing, RFC 9602
    ("fc00::/7", Reach.LOCAL),  # unique local, RFC 4193
    ("fe80::/10", Reach.LOCAL),  # link local, RFC 4291
    ("fec0::/10", Reach.LOCAL),  # site local, deprecated by RFC 3879
)

_BY_PREFIX: tuple[tuple[Network, Reach], ...] = tuple(
    sorted(((ipaddress.ip_network(text), reach) for text, reach in _REGISTRY), key=lambda row: -row[0].prefixlen)
)
"""The registry, most specific network first."""

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def embedded_ipv4(address: Address) -> Address:
    """Return the IPv4 address embedded in an IPv6 one (mapped, 6to4, Teredo, NAT64), else the address unchanged."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def reach_of(address: Address) -> Reach:
    """Return the classification of an address; for an embedded IPv4 address call `embedded_ipv4` first."""
    return next(reach for network, reach in _BY_PREFIX if network.version == address.version and address in network)
