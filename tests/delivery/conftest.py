"""Relays that record what they took."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import os
import tracemalloc
import warnings
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from newsletter.delivery import dispatch as dispatching
from newsletter.delivery import endpoints, pacing
from newsletter.delivery.endpoints import Deadlines
from newsletter.store import database, opening
from tests.cluster import Cluster
from tests.delivery.certificates import certify, serve_as
from tests.delivery.scenery import with_relay
from tests.delivery.sink import Manners, Sink
from tests.delivery.victim import Victims

# A Postfix can only be started by root.
collect_ignore = [] if os.geteuid() == 0 else ["test_postfix.py"]


# As long as in production, but for the waits between two attempts: see ``pass_time``.
DEADLINES = Deadlines(backoff=0.002)


@pytest.fixture
def start_sink(tmp_path: Path):
    """Start recording relays; they stop at the end of the test."""
    sinks: list[Sink] = []

    def start(manners: Manners | None = None, name: str = "record.jsonl") -> Sink:
        sinks.append(Sink(tmp_path / name, manners).__enter__())
        return sinks[-1]

    yield start
    for sink in sinks:
        sink.stop()


@pytest.fixture
def pass_time(monkeypatch):
    """Turn the clock of every event loop on: what is waited for is overdue, and nothing else is.

    Deadlines can so be tested at their real length: a short one would be missed by a busy machine.
    """
    real, loops, ahead_s = asyncio.BaseEventLoop.time, {}, 0.0

    def time(loop):
        loops.setdefault(id(loop), loop)
        return real(loop) + ahead_s

    def turn(seconds):
        nonlocal ahead_s
        ahead_s += seconds
        for loop in list(loops.values()):
            with suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(int)  # it looks at the clock when it wakes

    monkeypatch.setattr(asyncio.BaseEventLoop, "time", time)
    return turn


@pytest.fixture
def all_closed():
    """Collect what the test left, and fail if it left a socket open."""
    tracemalloc.start(20)
    yield
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
    tracemalloc.stop()
    assert [str(one.message) for one in caught] == []


@pytest.fixture(scope="session")
def victims():
    """A warm process that dispatches in children, to be killed."""
    warm = Victims()
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate for localhost and 127.0.0.1, and the file that vouches for it."""
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return certify(tmp_path_factory.mktemp("tls"), x509.DNSName("localhost"), here)


@pytest.fixture
def tls_context(authority):
    return serve_as(authority)


@pytest.fixture
def trusted(monkeypatch, authority):
    """This process trusts the certificate of ``tls_context``."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "cert.pem"))


@pytest.fixture(autouse=True)
def _forget_authorities():
    """A process reads the certificate authorities once; each test has its own."""
    endpoints.open_context.cache_clear()


@pytest.fixture(autouse=True)
def _forget_pace():
    """A process keeps what it let through; the next test's relay may be at the same port."""
    pacing.BUCKETS.clear()


@pytest.fixture(scope="module")
def cluster():
    """A PostgreSQL that these tests may stop; its journal is forced, as in earnest."""
    with Cluster() as one:
        yield one


@pytest.fixture
def crashing_engine(cluster):
    engine = database.open_engine(cluster.create("t_" + os.urandom(6).hex()))
    opening.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def go(settings, sqlite_engine, keys, now):
    """Dispatch the run once, at *at* minutes after its start."""

    def dispatch(url, run_id, *, minutes=0, stop=None, **relay):
        values = {"connections": 1, "window": 0} | relay
        return dispatching.dispatch(
            with_relay(settings, url, **values), sqlite_engine, keys, run_id,
            clock=lambda: now + timedelta(minutes=minutes), deadlines=DEADLINES, stop=stop,
        )  # fmt: skip

    return dispatch
