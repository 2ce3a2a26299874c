"""The rows of DELIVERY 10 about TLS: verified or nothing, and nothing in clear."""

from __future__ import annotations

import pytest
from cryptography import x509

from tests.delivery.certificates import certify, serve_as
from tests.delivery.scenery import start_run
from tests.delivery.sink import Manners, Rule


@pytest.mark.parametrize("kind", ["starttls", "implicit_tls"])
def test_an_encrypted_relay_is_verified_and_pipelined(
    go, sqlite_engine, now, start_sink, monkeypatch, authority, tls_context, kind
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "cert.pem"))
    sink = start_sink(Manners(**{kind: tls_context}))
    run_id = start_run(sqlite_engine, now, readers=9)
    assert go(sink.url, run_id, require_tls=True).tally.sent == 9
    assert len([line for _, line in sink.commands if line.startswith(b"EHLO")]) == (
        2 if kind == "starttls" else 1
    )


@pytest.mark.parametrize("kind", ["starttls", "implicit_tls"])
def test_a_certificate_nobody_vouches_for_stops_before_mail(
    go, sqlite_engine, now, start_sink, tls_context, kind
):
    sink = start_sink(Manners(**{kind: tls_context}))
    run_id = start_run(sqlite_engine, now, readers=3)
    result = go(sink.url, run_id, require_tls=True)
    assert result.reason == "configuration"
    assert "TLS" in result.problem
    assert not [line for _, line in sink.commands if line.startswith(b"MAIL")]


def test_stripped_starttls_stops_before_mail(go, sqlite_engine, now, start_sink):
    sink = start_sink(Manners())
    run_id = start_run(sqlite_engine, now, readers=3)
    result = go(sink.url, run_id, require_tls=True)
    assert result.reason == "configuration"
    assert not [line for _, line in sink.commands if line.startswith(b"MAIL")]


@pytest.mark.parametrize("reply", ["454 4.7.0 TLS not available now", "421 4.3.2 closing"])
def test_starttls_refused_for_now_is_tried_again_and_never_in_clear(
    go, sqlite_engine, now, start_sink, trusted, tls_context, reply
):
    sink = start_sink(Manners(starttls=tls_context, rules=[Rule("starttls", reply)]))
    run_id = start_run(sqlite_engine, now, readers=3)
    result = go(sink.url, run_id, require_tls=True)
    assert (result.reason, result.tally.pending) == ("relay", 3)
    assert reply[:3] in result.problem
    assert not [line for _, line in sink.commands if line.startswith(b"MAIL")]
    sink.manners.rules = [Rule("starttls", reply, times=2)]
    assert go(sink.url, run_id, require_tls=True).tally.sent == 3


@pytest.mark.parametrize("kind", ["starttls", "implicit_tls"])
def test_a_certificate_of_another_host_stops_before_mail(
    go, sqlite_engine, now, start_sink, monkeypatch, tmp_path, kind
):
    other = certify(tmp_path, x509.DNSName("other.example"))
    monkeypatch.setenv("SSL_CERT_FILE", str(other / "cert.pem"))
    sink = start_sink(Manners(**{kind: serve_as(other)}))
    run_id = start_run(sqlite_engine, now, readers=3)
    result = go(sink.url, run_id, require_tls=True)
    assert result.reason == "configuration"
    assert sink.worst["connections"] <= 1  # the server does not count a handshake that failed
    assert not [line for _, line in sink.commands if line.startswith(b"MAIL")]


@pytest.mark.parametrize("action", ["drop", "hang"])
def test_a_handshake_that_breaks_off_is_the_networks_and_tried_again(
    go, sqlite_engine, now, start_sink, trusted, tls_context, pass_time, action
):
    rules = [Rule("tls", action)]
    sink = start_sink(Manners(starttls=tls_context, rules=rules, pass_time=pass_time))
    run_id = start_run(sqlite_engine, now, readers=3)
    result = go(sink.url, run_id, require_tls=True)
    assert (result.reason, result.tally.pending) == ("relay", 3)
    assert not [line for _, line in sink.commands if line.startswith(b"MAIL")]
    sink.manners.rules.clear()
    assert go(sink.url, run_id, require_tls=True).tally.sent == 3


def go_over_tls(go, sqlite_engine, now, start_sink, monkeypatch, authority, tls_context, rule):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "cert.pem"))
    sink = start_sink(Manners(starttls=tls_context, rules=[rule]))
    run_id = start_run(sqlite_engine, now, readers=3)
    result = go(sink.url, run_id, require_tls=True)
    assert result.tally.pending == 3
    assert not [line for _, line in sink.commands if line.startswith(b"MAIL")]
    return result


def test_garbage_where_tls_should_begin_stops_before_mail(
    go, sqlite_engine, now, start_sink, monkeypatch, authority, tls_context
):
    rule = Rule("tls", "garbage")
    result = go_over_tls(
        go, sqlite_engine, now, start_sink, monkeypatch, authority, tls_context, rule
    )
    assert result.reason in {"relay", "configuration"}  # before TLS began, or within


def test_an_answer_slipped_in_before_tls_is_never_heard_within_it(
    go, sqlite_engine, now, start_sink, monkeypatch, authority, tls_context
):
    rule = Rule("starttls", "220 go ahead\r\n250 slipped in")
    result = go_over_tls(
        go, sqlite_engine, now, start_sink, monkeypatch, authority, tls_context, rule
    )
    assert result.reason == "configuration"
    assert "bytes follow" in result.problem
