from __future__ import annotations

import pytest

from apps.net.address_policy import AddressPolicy
from apps.net.errors import BadHostError
from apps.net.hosts import canonical_host

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "::1", "fe80::1",
    "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:169.254.169.254",
]  # fmt: skip
NEVER = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "::ffff:0.0.0.0"]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_permitted(address: str) -> None:
    assert AddressPolicy().permits(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_ones_only_where_the_deployment_allows_them(address: str) -> None:
    assert not AddressPolicy().permits(address)
    if not address.startswith("2002:"):
        assert AddressPolicy(private=True).permits(address)


@pytest.mark.parametrize("address", NEVER)
def test_some_are_never_permitted(address: str) -> None:
    assert not AddressPolicy(private=True).permits(address)


def test_deny_wins_over_allow_and_allow_over_the_rest() -> None:
    policy = AddressPolicy.parse(private=False, allow="10.1.0.0/16", deny="10.1.2.0/24, 8.8.8.8/32")
    judged = {address: policy.permits(address) for address in ("10.1.1.1", "10.1.2.1", "::ffff:10.1.2.1", "10.2.0.1", "8.8.8.8")}
    assert judged == {"10.1.1.1": True, "10.1.2.1": False, "::ffff:10.1.2.1": False, "10.2.0.1": False, "8.8.8.8": False}


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0x7f000001",
        "1.2.3",
        "",
        ".",
        "a..b",
        "-a.b",
        "a" * 64,
        "a b",
        "é" * 80,
        "１２７.0.0.1",
        "a\u200db.de",
        "-ü.de",
    ],
)
def test_addresses_in_disguise_and_names_that_cannot_be_are_refused(host: str) -> None:
    with pytest.raises(BadHostError):
        canonical_host(host)


@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("Example.ORG.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[::1]", "::1"),
        ("_dmarc.a.b", "_dmarc.a.b"),
        ("1.2.3.4", "1.2.3.4"),
        ("straße.example", "xn--strae-oqa.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("日本。jp", "xn--wgv71a.jp"),
        ("ＦＵＬＬ.com", "full.com"),
        ("☃.net", "xn--n3h.net"),
    ],
)
def test_hosts_are_made_canonical(host: str, canonical: str) -> None:
    assert canonical_host(host) == canonical


# Rows of the IANA special-purpose address registries: an address inside each, and whether it is globally reachable.
REGISTERED = [
    ("0.1.2.3", None), ("10.255.0.1", False), ("100.64.0.1", False), ("100.127.255.255", False), ("100.128.0.1", True),
    ("127.1.2.3", False), ("169.254.1.1", False), ("172.16.0.1", False), ("172.31.255.255", False), ("172.32.0.1", True),
    ("192.0.0.1", False), ("192.0.0.8", False), ("192.0.0.9", True), ("192.0.0.10", True), ("192.0.0.170", False),
    ("192.0.0.171", False), ("192.0.0.192", False), ("192.0.1.1", True), ("192.0.2.1", False), ("192.31.196.1", True),
    ("192.52.193.1", True), ("192.88.99.1", False), ("192.168.255.255", False), ("192.175.48.1", True), ("198.18.0.1", False),
    ("198.19.255.255", False), ("198.20.0.1", True), ("198.51.100.1", False), ("203.0.113.255", False), ("224.0.0.1", None),
    ("239.255.255.255", None), ("240.0.0.1", None), ("255.255.255.255", None), ("168.63.129.16", False), ("::1", False),
    ("::", None), ("::127.0.0.1", None), ("64:ff9b::8.8.8.8", True), ("64:ff9b::10.0.0.1", False), ("64:ff9b:1::1", False),
    ("100::1", False), ("100:0:0:1::1", False), ("200::1", None), ("2001::f5ff:fffe", False), ("2001:1::1", True), ("2001:1::2", True),
    ("2001:1::3", True), ("2001:1::4", False), ("2001:2::1", False), ("2001:3::1", True), ("2001:4:112::1", True),
    ("2001:10::1", False), ("2001:20::1", True), ("2001:30::1", True), ("2001:db8::1", False), ("2002:a00:1::", False),
    ("2002:808:808::", True), ("2620:4f:8000::1", True), ("3fff::1", False), ("3fff:1000::1", True), ("4000::1", None),
    ("5f00::1", False), ("fc00::1", False), ("fdff::1", False), ("fe80::1", False), ("fec0::1", False), ("ff02::1", None),
]  # fmt: skip


@pytest.mark.parametrize(("address", "is_global"), REGISTERED)
def test_addresses_are_judged_by_the_registries(address: str, is_global: bool | None) -> None:
    """`is_global` is None where an address is refused even if private ones are allowed."""
    assert AddressPolicy().permits(address) is (is_global is True)
    assert AddressPolicy(private=True).permits(address) is (is_global is not None)
