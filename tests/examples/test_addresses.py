from ipaddress import ip_address

import pytest

from newsletter.examples.addresses import is_public, is_public_host

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.20", "169.254.169.254", "100.64.0.1",
    "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.0.8", "192.0.2.1",
    "::1", "::", "fc00::1", "fd12::1", "fe80::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1",
    "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_of_an_inner_network_is_public(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "intranet", "imprimante.local", "nas.lan", "box.home.arpa", "127.1",
     "0x7f000001", "2130706433", "[::1]", "10.0.0.1", "metadata.internal", ""],
)  # fmt: skip
def test_names_of_an_inner_network_are_not_for_readers(host):
    assert not is_public_host(host)


@pytest.mark.parametrize(
    "host", ["carnet.example", "www.odd17.org", "xn--caf-dma.example", "8.8.8.8"]
)
def test_names_of_the_internet_are(host):
    assert is_public_host(host)
