from __future__ import annotations

import pytest

from apps.net.errors import BadHostError
from apps.net.guard import AddressPolicy, canonical_host

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
    ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0x7f000001", "1.2.3", "", ".", "a..b", "-a.b", "a" * 64, "a b", "é" * 80],
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
    ],
)
def test_hosts_are_made_canonical(host: str, canonical: str) -> None:
    assert canonical_host(host) == canonical
