"""Fixtures of the watch: a feed server on loopback, and settings that may read it."""

from __future__ import annotations

import pytest

from newsletter.config import Feeds, Settings
from tests.examples.feed_server import FeedServer
from tests.examples.watching import TAXONOMY


@pytest.fixture
def server():
    server = FeedServer()
    yield server
    server.close()


@pytest.fixture
def publication(settings: Settings, server: FeedServer) -> Settings:
    """Settings with a taxonomy, that may read the feed server, with small limits."""
    feeds = Feeds(
        allow_private=(server.place,),
        connect_timeout_s=60,
        total_timeout_s=60,
        max_wire_bytes=1_000_000,
        max_body_bytes=2_000_000,
    )
    return settings.model_copy(update={"feeds": feeds, "taxonomy": TAXONOMY})
