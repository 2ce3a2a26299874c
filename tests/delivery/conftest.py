"""Relays that record what they took."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from newsletter.delivery import endpoints
from tests.delivery.sink import Manners, Sink
from tests.delivery.victim import Victims

# A Postfix can only be started by root.
collect_ignore = [] if os.geteuid() == 0 else ["test_postfix.py"]


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


@pytest.fixture(scope="session")
def victims():
    """A warm process that dispatches in children, to be killed."""
    warm = Victims()
    yield warm
    warm.close()


@pytest.fixture(autouse=True)
def _forget_authorities():
    """A process reads the certificate authorities once; each test has its own."""
    endpoints.open_context.cache_clear()
