"""Which addresses the watch may talk to (F1).

In: an IP address, or a host name. Out: whether it belongs to the public internet. Never: a look-up;
the address itself is judged again when the connection is made.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# The standard library of Python 3.11 takes multicast, NAT64 and the old IPv4-compatible range for
# global; each of them can lead inside.
_REFUSED = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2002::/16",
        "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
# Names that never leave a local network (RFC 6761, 6762, 8375, 9476).
_LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "alt")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """True on the public internet; a v4-mapped address is judged as the IPv4 it hides."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if any(address.version == network.version and address in network for network in _REFUSED):
        return False
    return address.is_global


def is_public_host(host: str) -> bool:
    """True when *host* may be shown to readers: no private address, no name of a local network.

    ``127.1``, ``0x7f000001`` and ``2130706433`` are addresses to a browser: names must hold a dot
    and end in something that is not a number.
    """
    try:
        return is_public(ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        name = host.rstrip(".").lower()
    last = name.rpartition(".")[2]
    if "." not in name or last.isdigit() or last.startswith("0x"):
        return False
    return not any(name == local or name.endswith("." + local) for local in _LOCAL_NAMES)
