"""Ports that stay whose they are.

Asked for port 0, the system gives a port of its range to whoever comes next, another test's client
included: a port found free may be taken a moment later, and one just closed be somebody else's.
These are below that range, and each pytest worker has some of its own.
"""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
LOWEST, SLICE = 20_000, 1_000


def open_port() -> socket.socket:
    """Return a socket that listens on one of our ports."""
    for port in random.sample(_ours(), SLICE):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen(100)
        except OSError:
            listening.close()
        else:
            return listening
    raise AssertionError("every port of this worker is taken")


def find_port() -> int:
    """Return one of our ports that nobody listens on, for a server that must be told its port."""
    with open_port() as listening:
        return listening.getsockname()[1]


def _ours() -> range:
    highest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 12
    first = LOWEST + worker * SLICE
    assert first + SLICE <= highest, "the system's own range begins too low"
    return range(first, first + SLICE)
