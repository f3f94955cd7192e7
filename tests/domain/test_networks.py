"""Limits by address hold for what one subscriber has."""

from ipaddress import ip_address

import pytest

from authy_grpc.domain.networks import subscriber


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_what_counts_as_one(address: str, network: str) -> None:
    assert str(subscriber(ip_address(address))) == network
