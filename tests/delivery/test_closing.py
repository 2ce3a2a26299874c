"""No socket outlives its event loop, however rude the relay is at the end."""

from __future__ import annotations

import socket

import pytest

from newsletter.config import Relay
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.smtp import probe_relay, submit_one
from tests.delivery.scenery import start_run, with_relay
from tests.delivery.sink import Manners, Rule

# The relay hears the goodbye and does nothing any more: no 221, no end of TLS, no end of TCP.
DEAF = [Rule("quit", "stall")]
LETTER = b"Message-ID: <a@example.org>\r\nSubject: x\r\n\r\nBonjour\r\n"


@pytest.fixture
def relay(settings, start_sink, request, trusted, tls_context):
    """Settings towards a relay that speaks TLS in one way or another, and never ends it."""
    tls = {} if request.param == "plain" else {request.param: tls_context}
    sink = start_sink(Manners(rules=DEAF, **tls))
    yield with_relay(settings, sink.url, require_tls=request.param != "plain")
    sink.manners.release.set()


@pytest.fixture(params=["banner", "ehlo", "starttls", "tls", "handshake"])
def stuck(request, start_sink, tls_context):
    """A relay whose connections never come to anything: how far they come, and its address."""
    if request.param == "handshake":
        with socket.create_server(("127.0.0.1", 0)) as silent:  # the system lets everybody in
            yield f"smtps://127.0.0.1:{silent.getsockname()[1]}"
        return
    rules = [Rule(request.param, "hang")]
    yield start_sink(Manners(rules=rules, starttls=tls_context), "stuck.jsonl").url


kinds = pytest.mark.parametrize("relay", ["plain", "starttls", "implicit_tls"], indirect=True)


@kinds
def test_a_dispatch_leaves_no_connection_open(all_closed, relay, sqlite_engine, keys, now):
    run_id = start_run(sqlite_engine, now, readers=9)
    assert dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now).tally.sent == 9


def test_a_dispatch_gives_up_the_connections_it_was_still_opening(
    all_closed, settings, start_sink, trusted, stuck, sqlite_engine, keys, now
):
    settings = with_relay(settings, start_sink().url)
    settings = settings.model_copy(update={"relays": (Relay(url=stuck, require_tls=True),)})
    run_id = start_run(sqlite_engine, now, readers=9)
    assert dispatch(settings, sqlite_engine, keys, run_id, clock=lambda: now).tally.sent == 9


@kinds
def test_a_message_by_hand_leaves_no_connection_open(all_closed, relay):
    reply = submit_one(relay, sender="a@example.org", recipient="b@example.org", content=LETTER)
    assert reply.code == 250


@kinds
def test_a_probe_leaves_no_connection_open(all_closed, relay):
    assert "answers" in probe_relay(relay)
