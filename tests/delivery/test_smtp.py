"""One message by hand, relays probed, against our sink and real aiosmtpd."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from newsletter.config import Relay
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.endpoints import Deadlines, open_endpoints
from newsletter.delivery.smtp import Connection, connect, probe_relay, submit_one
from newsletter.delivery.smtp_protocol import BadAddress
from newsletter.delivery.states import Reply
from newsletter.errors import AuthFailed, ConnectFailed, TimedOut, TlsFailed, Unanswered
from tests.delivery.scenery import start_run, with_relay
from tests.delivery.sink import Manners, Rule

LETTER = b"Message-ID: <a@example.org>\r\nSubject: x\r\n\r\nBonjour\r\n"


def submit(settings, recipient="lecteur@lecteurs.example"):
    return submit_one(settings, sender="a@example.org", recipient=recipient, content=LETTER)


@pytest.mark.parametrize("pipelining", [True, False])
def test_one_message_leaves_and_its_answer_comes_back(settings, start_sink, pipelining):
    sink = start_sink(Manners(pipelining=pipelining))
    assert submit(with_relay(settings, sink.url)) == Reply(250, "2.0.0", "Ok: queued")
    (accepted,) = sink.accepted()
    assert accepted.recipient == "lecteur@lecteurs.example"
    assert accepted.message_id == "<a@example.org>"


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
def test_a_no_at_any_stage_is_a_value(settings, start_sink, stage):
    sink = start_sink(Manners(rules=[Rule(stage, "550 5.7.1 no")]))
    assert submit(with_relay(settings, sink.url)) == Reply(550, "5.7.1", "no")


def test_a_letter_too_large_for_the_relay_is_a_no(settings, start_sink):
    sink = start_sink(Manners(size=10))
    assert submit(with_relay(settings, sink.url)).enhanced == "5.3.4"


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (Rule("banner", "hang"), TimedOut),
        (Rule("banner", "554 no"), ConnectFailed),
        (Rule("rcpt", "drop"), ConnectFailed),
        (Rule("rcpt", "hang"), TimedOut),
        (Rule("dot", "drop"), Unanswered),
        (Rule("accepted", "hang"), Unanswered),
        (Rule("accepted", "garbage"), Unanswered),
    ],
    ids=lambda value: f"{value.stage} {value.action}" if isinstance(value, Rule) else "",
)
def test_a_message_without_an_answer_raises_what_happened(
    settings, start_sink, pass_time, rule, error
):
    sink = start_sink(Manners(rules=[rule], pass_time=pass_time))
    with pytest.raises(error) as caught:
        submit(with_relay(settings, sink.url))
    assert caught.value.host == "127.0.0.1"


class _Wire(asyncio.Transport):
    """A transport, its socket and its listener: writes down what was asked of it."""

    def __init__(self):
        super().__init__()
        self.options, self.written = [], b""

    def get_extra_info(self, name, default=None):
        return self if name == "socket" else default

    def getsockopt(self, *_):
        return 1

    def setsockopt(self, *option):
        self.options.append(option)

    def write(self, data):
        self.written += data

    def abort(self):
        pass

    def on_lost(self, connection, reason):
        pass


def hear(settings, *banner):
    """Return the wire of a connection that heard these bytes in its banner's place."""

    async def listen():
        wire = _Wire()
        with open_endpoints(settings) as (endpoint,):
            connection = Connection(endpoint, Deadlines(), wire)
        connection.connection_made(wire)
        for data in banner:
            connection.data_received(data)
        connection.abort("closed")
        return wire

    return asyncio.run(listen())


def test_bytes_that_call_for_no_answer_are_acknowledged_at_once(settings):
    wire = hear(settings, b"220 relay.exam")
    assert wire.options == [(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)]


def test_an_answer_is_acknowledgement_enough(settings):
    wire = hear(settings, b"220 relay.example ESMTP\r\n")
    assert wire.written.startswith(b"EHLO ")
    assert wire.options == []


def test_no_relay_there_raises_connect_failed(settings, start_sink):
    sink = start_sink()
    sink.stop()
    with pytest.raises(ConnectFailed):
        submit(with_relay(settings, sink.url))


def test_a_name_that_no_resolver_takes_raises_connect_failed(settings, start_sink):
    with open_endpoints(with_relay(settings, start_sink().url)) as (endpoint,):
        nowhere = replace(endpoint, host="relay..example")
    with pytest.raises(ConnectFailed, match=r"relay\.\.example"):
        asyncio.run(connect(nowhere, Deadlines(), listener=None))


def test_a_wrong_password_raises_auth_failed(settings, start_sink):
    sink = start_sink(Manners(auth=("PLAIN",)))
    url = sink.url.replace("//", "//user@")
    with pytest.raises(AuthFailed):
        submit(with_relay(settings, url, password="wrong"))
    assert submit(with_relay(settings, url, password="secret")).code == 250


def test_tls_that_is_not_there_raises_tls_failed(settings, start_sink):
    with pytest.raises(TlsFailed):
        submit(with_relay(settings, start_sink().url, require_tls=True))


def test_an_address_that_could_split_a_command_never_leaves(settings, start_sink):
    sink = start_sink()
    with pytest.raises(BadAddress):
        submit(with_relay(settings, sink.url), "a@b.example>\r\nRCPT TO:<c@d.example")
    assert not [line for _, line in sink.commands if line.startswith((b"MAIL", b"RCPT"))]


def test_a_probe_says_what_the_relay_offers(settings, start_sink):
    sink = start_sink(Manners(chunking=True, size=1000))
    said = probe_relay(with_relay(settings, sink.url))
    assert f"127.0.0.1:{sink.port} answers (no TLS, PIPELINING, CHUNKING, SIZE 1000)" == said


def test_real_aiosmtpd_takes_a_letter_and_a_run(settings, sqlite_engine, keys, now):
    assert settings.relay == Relay()  # embedded: aiosmtpd over a Maildir
    assert submit(settings).code == 250
    run_id = start_run(sqlite_engine, now, readers=25)
    result = dispatch(settings, sqlite_engine, keys, run_id, clock=lambda: now)
    assert result.tally.sent == 25
    assert len(list((settings.var_dir / "mailbox" / "new").iterdir())) == 26
