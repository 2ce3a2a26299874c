"""How often one network may fill a form (T6), without keeping an address of theirs on disk.

In: a client's address, instants. Out: yes or no. Never: a header believed unless the proxy that
wrote it is named in the settings.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock

PER_NETWORK = 5
WITHIN = timedelta(hours=1)
MAX_NETWORKS = 10_000  # the oldest is forgotten: memory stays flat whoever knocks


class Limiter:
    """Counts per network: /24 of IPv4, /48 of IPv6, about what one subscriber line holds."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, deque[datetime]] = OrderedDict()
        self._lock = Lock()

    def allow(self, client: str, now: datetime) -> bool:
        """Count one more try; False when its network had too many within the hour."""
        with self._lock:
            tries = self._seen.setdefault(network_of(client), deque())
            self._seen.move_to_end(network_of(client))
            if len(self._seen) > MAX_NETWORKS:
                self._seen.popitem(last=False)
            while tries and tries[0] <= now - WITHIN:
                tries.popleft()
            if len(tries) >= PER_NETWORK:
                return False
            tries.append(now)
            return True


def network_of(client: str) -> str:
    """The network of an address; an IPv4 address inside an IPv6 one is that IPv4 address."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


def client_of(peer: str, forwarded_for: str, trusted: Collection[str]) -> str:
    """The client behind trusted proxies: the last address of the header that is none of them."""
    client = peer
    for hop in reversed([part.strip() for part in forwarded_for.split(",") if part.strip()]):
        if client not in trusted:
            break
        client = hop
    return client
