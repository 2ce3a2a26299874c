"""A dispatch that is told to stop, or meets another: nobody lost, nobody twice."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from newsletter import running
from newsletter.delivery import dispatch as dispatching
from newsletter.delivery.desk import Desk
from newsletter.delivery.pages import Pages
from newsletter.errors import StoreError
from newsletter.model import IssueId
from newsletter.store import database, ledger, schema
from tests.delivery.scenery import judge, once_accepted, start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule
from tests.waiting import PATIENCE_S, wait_until

ONE = "lecteur1@"  # the reader whom the fault is about; the others must not notice


def test_a_stop_flag_takes_nobody_more_and_loses_nobody(go, sqlite_engine, now, start_sink):
    sink = start_sink(Manners(reply_delay_s=0.01))
    run_id = start_run(sqlite_engine, now, readers=200)
    stop = threading.Event()
    with once_accepted(sink, 5, stop.set):
        result = go(sink.url, run_id, stop=stop)
    assert (result.reason, result.finished) == ("terminated", False)
    assert result.tally.sending == result.tally.unknown == 0
    assert result.tally.sent + result.tally.pending == 200
    assert len(sink.accepted()) == result.tally.sent
    assert go(sink.url, run_id, connections=4).tally.sent == 200
    assert len(sink.accepted()) == 200


def test_an_answer_owed_for_too_long_at_the_end_is_unknown(
    go, sqlite_engine, now, start_sink, monkeypatch
):
    monkeypatch.setattr("newsletter.delivery.desk.TERMINATE_S", 0.1)
    sink = start_sink(Manners(rules=[Rule("accepted", "hang", ONE)]))
    run_id = start_run(sqlite_engine, now, readers=5)
    stop = threading.Event()
    with once_accepted(sink, 1, stop.set, of=ONE):
        result = go(sink.url, run_id, stop=stop)
    assert result.reason == "terminated"
    assert result.tally.unknown == 1
    assert result.tally.sending == 0


def test_an_answer_owed_for_too_long_after_a_person_stopped_the_run_is_unknown(
    go, sqlite_engine, now, start_sink, monkeypatch
):
    monkeypatch.setattr("newsletter.delivery.desk.TERMINATE_S", 0.1)
    monkeypatch.setattr("newsletter.delivery.commits.BEAT_S", 0.05)
    sink = start_sink(Manners(rules=[Rule("accepted", "hang", ONE)]))
    run_id = start_run(sqlite_engine, now, readers=5)
    stop = threading.Event()
    real_end = Desk.end

    def end(desk, ending):
        real_end(desk, ending)
        stop.set()  # the signal comes while the stop waits for its answers

    monkeypatch.setattr(Desk, "end", end)

    def stop_it():
        with database.write(sqlite_engine) as connection:
            ledger.stop_run(connection, run_id, reason="by hand", now=now)

    with once_accepted(sink, 1, stop_it, of=ONE):
        result = go(sink.url, run_id, stop=stop)
    assert (result.reason, result.tally.unknown) == ("stopped", 1)


def test_a_dispatch_that_ends_looks_for_nobody_who_is_due(
    settings, sqlite_engine, keys, now, start_sink, monkeypatch
):
    """The ledger is for the answers that are owed: a locked database would be waited for twice."""
    sink = start_sink(Manners(rules=[Rule("accepted", "hold")]))
    run_id = start_run(sqlite_engine, now, readers=5)
    stop, minutes, asked = threading.Event(), itertools.count(), []
    monkeypatch.setattr(Desk, "_wake_due", lambda desk: asked.append(desk.is_closing))

    def clock():
        minute = next(minutes)
        if sink.accepted():
            stop.set()
        if minute > 30:
            sink.manners.release.set()
        return now + timedelta(minutes=minute)

    result = dispatching.dispatch(
        with_relay(settings, sink.url, connections=1, window=0), sqlite_engine, keys, run_id,
        clock=clock, stop=stop,
    )  # fmt: skip
    assert (result.reason, result.tally.sent) == ("terminated", 1)
    assert set(asked) == {False}


def test_a_look_for_who_is_due_that_fails_while_a_dispatch_ends_costs_no_answer(
    settings, sqlite_engine, keys, now, start_sink, monkeypatch
):
    sink = start_sink(Manners(rules=[Rule("accepted", "hold")]))
    run_id = start_run(sqlite_engine, now, readers=5)
    stop, begun, minutes = threading.Event(), threading.Event(), itertools.count()
    end, on_woken = Desk.end, Desk._on_woken
    is_ending = threading.Event()

    def refuse(_pages, **_):
        begun.set()
        assert is_ending.wait(60)
        raise StoreError("the database is locked")

    def note_end(desk, ending):
        end(desk, ending)
        is_ending.set()

    def note_woken(desk, done):
        on_woken(desk, done)
        sink.manners.release.set()

    def clock():
        if begun.is_set():
            stop.set()
        return now + timedelta(minutes=next(minutes) if sink.accepted() else 0)

    monkeypatch.setattr(Pages, "wake_due", refuse)
    monkeypatch.setattr(Desk, "end", note_end)
    monkeypatch.setattr(Desk, "_on_woken", note_woken)
    result = dispatching.dispatch(
        with_relay(settings, sink.url, connections=1, window=0), sqlite_engine, keys, run_id,
        clock=clock, stop=stop,
    )  # fmt: skip
    assert (result.reason, result.tally.sent) == ("terminated", 1)


def test_a_dispatcher_that_lost_its_run_still_hears_the_answers_it_is_owed(
    go, sqlite_engine, now, start_sink, monkeypatch
):
    """Its lease was over by somebody's clock; it lives, and what it was sending is its own."""
    monkeypatch.setattr("newsletter.delivery.commits.BEAT_S", 0.05)
    sink = start_sink(Manners(rules=[Rule("accepted", "hold", times=1)]))
    run_id = start_run(sqlite_engine, now, readers=5)
    real_end = Desk.end

    def end(desk, ending):
        real_end(desk, ending)
        sink.manners.release.set()

    monkeypatch.setattr(Desk, "end", end)

    def take_it():
        with database.write(sqlite_engine) as connection:
            ledger.claim_lease(
                connection, run_id, "another", now=now + timedelta(hours=1),
                until=now + timedelta(hours=2), is_dead=lambda _: False,
            )  # fmt: skip

    with once_accepted(sink, 1, take_it):
        result = go(sink.url, run_id, connections=1)
    assert (result.reason, result.tally.sent, result.tally.pending) == ("lease_lost", 1, 4)


@contextmanager
def locked(engine, run_id):
    """Hold the run's row as a session does that left its transaction open; on SQLite, the file."""
    holder = database.open_engine(engine.url.render_as_string(hide_password=False))
    with holder.begin() as connection:
        connection.execute(select(schema.run).where(schema.run.c.id == run_id).with_for_update())
        yield
    holder.dispose()


@pytest.fixture
def impatient(engine):
    """The same database, refused at once where it is locked."""
    opened = database.open_engine(
        engine.url.render_as_string(hide_password=False), busy_timeout_ms=20
    )
    yield opened
    opened.dispose()


def test_a_stop_flag_ends_a_dispatch_whose_ledger_is_locked(
    settings, engine, impatient, keys, now, start_sink, monkeypatch
):
    monkeypatch.setattr("newsletter.delivery.desk.TERMINATE_S", 0.1)
    sink = start_sink(Manners(rules=[Rule("accepted", "hold", skip=4)]))
    run_id = start_run(engine, now, readers=30)
    relay = with_relay(settings, sink.url, connections=2, window=0)
    stop = threading.Event()

    def dispatch():
        return dispatching.dispatch(relay, impatient, keys, run_id, clock=lambda: now, stop=stop)

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(dispatch)
        wait_until(lambda: len(sink.accepted()) >= 5)
        with locked(engine, run_id):
            sink.manners.release.set()
            stop.set()
            wait_until(run.done)
            result = run.result()
    assert (result.reason, result.finished) == ("terminated", False)
    assert "locked" in result.problem
    assert result.tally.sending > 0
    stop.clear()
    assert dispatch().finished  # at once, for the death of the first is proved
    judge(engine, run_id, sink, 30)


def test_a_stopped_run_goes_on_where_it_stood(go, sqlite_engine, now, start_sink):
    sink = start_sink(Manners(reply_delay_s=0.01))
    run_id = start_run(sqlite_engine, now, readers=300)

    def stop_it():
        with database.write(sqlite_engine) as connection:
            ledger.stop_run(connection, run_id, reason="by hand", now=now)

    with once_accepted(sink, 5, stop_it):
        result = go(sink.url, run_id)
    assert result.reason == "stopped"
    assert result.tally.unknown == result.tally.sending == 0
    with database.write(sqlite_engine) as connection:
        ledger.go_on(connection, run_id)
    assert go(sink.url, run_id, connections=4).tally.sent == 300
    assert len(sink.accepted()) == 300


def test_a_run_stopped_and_sent_on_while_an_answer_is_owed_is_sent_by_whoever_holds_it(
    settings, engine, keys, now, start_sink, monkeypatch
):
    monkeypatch.setattr("newsletter.delivery.commits.BEAT_S", 0.05)
    sink = start_sink(Manners(rules=[Rule("accepted", "hold")]))
    run_id = start_run(engine, now, readers=20)
    relay = with_relay(settings, sink.url, connections=2, window=0)
    is_stopping, real_end = threading.Event(), Desk.end

    def end(desk, ending):
        real_end(desk, ending)
        is_stopping.set()

    monkeypatch.setattr(Desk, "end", end)

    def dispatch():
        return dispatching.dispatch(relay, engine, keys, run_id, clock=lambda: now)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(dispatch)
        wait_until(sink.accepted)
        with database.write(engine) as connection:
            ledger.stop_run(connection, run_id, reason="by hand", now=now)
        assert is_stopping.wait(PATIENCE_S)
        with database.write(engine) as connection:
            ledger.go_on(connection, run_id)
        assert dispatch().reason == "elsewhere"
        sink.manners.release.set()
        result = first.result()
    assert (result.reason, result.finished, result.tally.sent) == ("", True, 20)
    assert len(sink.accepted()) == 20


def test_two_dispatchers_on_one_run_send_once(settings, sqlite_engine, keys, now, start_sink):
    sink = start_sink(Manners(reply_delay_s=0.002))
    run_id = start_run(sqlite_engine, now, readers=120)
    results = []

    def dispatch():
        results.append(
            dispatching.dispatch(
                with_relay(settings, sink.url, window=4),
                sqlite_engine,
                keys,
                run_id,
                clock=lambda: now,
            )
        )

    threads = [threading.Thread(target=dispatch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.reason for result in results) in (["", "elsewhere"], ["", ""])
    assert Counter(states_of(sqlite_engine, run_id).values()) == {"sent": 120}
    assert max(Counter(a.recipient for a in sink.accepted()).values()) == 1


def test_a_name_server_that_does_not_answer_holds_no_dispatch_that_is_told_to_stop(
    go, sqlite_engine, now, monkeypatch
):
    stop, answered, asks_on = threading.Event(), threading.Event(), []

    def resolve(*_, **__):
        stop.set()
        asks_on.append(not answered.wait(PATIENCE_S))
        raise OSError("no answer")

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    run_id = start_run(sqlite_engine, now, readers=5)
    result = go("smtp://relay.example.org:25", run_id, stop=stop)
    assert (result.reason, result.tally.pending, asks_on) == ("terminated", 5, [])
    answered.set()


@pytest.fixture
def cut_short(go, sqlite_engine, now, start_sink):
    """A run towards a relay that takes each message and hangs up before it says so."""
    sink = start_sink(Manners(rules=[Rule("accepted", "drop")]))
    run_id = start_run(sqlite_engine, now, readers=200)
    minutes = itertools.count()

    def dispatch():
        return go(sink.url, run_id, connections=4, minutes=next(minutes))

    return SimpleNamespace(sink=sink, dispatch=dispatch, run_id=run_id)


def test_a_run_of_which_every_answer_is_lost_stops_itself(cut_short):
    results = [cut_short.dispatch() for _ in range(6)]
    assert [result.reason for result in results] == ["relay"] * 5 + ["unknown"]
    assert cut_short.dispatch().reason == "stopped"
    assert results[-1].tally.unknown == len(cut_short.sink.accepted()) < 30
    assert results[0].problem == "127.0.0.1: connection lost after a whole message (drop)"


def test_after_a_lost_answer_one_message_is_at_stake(cut_short):
    first, then = cut_short.dispatch(), cut_short.dispatch()
    # Three failures in a row, one after another, and the relay is left for now.
    assert then.tally.unknown - first.tally.unknown == 3


def test_a_relay_that_refuses_recipients_and_cuts_the_others_short_stops_the_run(cut_short):
    cut_short.sink.manners.rules.append(Rule("rcpt", "550 5.1.1 nobody", "3@"))
    results = [cut_short.dispatch() for _ in range(6)]
    assert results[-1].reason == "unknown"
    assert results[-1].tally.refused > 0


def test_after_a_lost_answer_a_refused_recipient_lets_nobody_follow(cut_short):
    lost = cut_short.dispatch().tally.unknown
    cut_short.sink.manners.rules.append(Rule("rcpt", "550 5.1.1 nobody", times=5))
    then = cut_short.dispatch().tally
    assert (then.refused, then.unknown - lost) == (5, 3)


def test_after_a_lost_answer_the_others_follow_the_first_who_is_taken(cut_short):
    lost = cut_short.dispatch().tally.unknown
    cut_short.sink.manners.rules.clear()
    assert cut_short.dispatch().tally.sent == 200 - lost
    connections = {accepted.connection for accepted in cut_short.sink.accepted()[lost:]}
    assert len(connections) > 1


def test_a_person_has_a_run_that_lost_its_answers_tried_again(cut_short, sqlite_engine):
    while cut_short.dispatch().reason != "unknown":
        pass
    running.go_on(sqlite_engine, IssueId("2026-05-07"))
    assert cut_short.dispatch().reason == "relay"
    cut_short.sink.manners.rules.clear()
    assert cut_short.dispatch().finished
