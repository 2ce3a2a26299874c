"""How often one network may ask."""

from datetime import timedelta

import pytest

from newsletter.web import limits
from newsletter.web.limits import Limiter, client_of, network_of


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_addresses_are_counted_by_network(client, network):
    assert network_of(client) == network


def test_a_network_has_five_tries_an_hour(now):
    limiter = Limiter()
    tries = [limiter.allow(f"203.0.113.{n}", now + timedelta(minutes=n)) for n in range(6)]
    assert tries == [True] * 5 + [False]
    assert limiter.allow("203.0.114.1", now)
    assert limiter.allow("203.0.113.9", now + timedelta(minutes=60))
    assert not limiter.allow("203.0.113.9", now + timedelta(minutes=60))


def test_memory_stays_flat_whoever_knocks(now, monkeypatch):
    monkeypatch.setattr(limits, "MAX_NETWORKS", 10)
    limiter = Limiter()
    for number in range(100):
        limiter.allow(f"10.0.{number}.1", now)
    assert len(limiter._seen) == 10


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("127.0.0.1", "10.0.0.2", "10.0.0.2"),
    ],
)
def test_only_hops_of_trusted_proxies_are_believed(peer, header, client):
    assert client_of(peer, header, ("127.0.0.1", "10.0.0.2")) == client
