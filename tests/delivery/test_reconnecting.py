"""Connections that come to nothing, beside one that works: a pause before each other one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from newsletter.config import DomainPace
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.endpoints import Deadlines
from newsletter.delivery.pacing import RAISE_AFTER
from newsletter.delivery.routes import MAX_FAILURES, Routes
from tests.delivery.conftest import DEADLINES
from tests.delivery.scenery import start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule
from tests.waiting import wait_until

LONG = Deadlines(backoff=1_000.0)


def count_sending(engine, run_id):
    return list(states_of(engine, run_id).values()).count("sending")


@pytest.mark.parametrize("action", ["drop", "rst", "garbage", "421 4.3.2 busy"])
def test_a_lane_whose_connection_came_to_nothing_waits_while_another_works(
    sqlite_engine, settings, keys, now, start_sink, action
):
    sink = start_sink(Manners(rules=[Rule("mail", action, since=2)], reply_delay_s=0.001))
    run_id = start_run(sqlite_engine, now, readers=RAISE_AFTER - 1)
    relay = with_relay(settings, sink.url, connections=4, window=0)
    result = dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=LONG)
    assert result.tally.sent == RAISE_AFTER - 1
    assert sink.worst["connections"] <= 4


def test_a_lane_that_loses_an_answer_waits_though_its_connection_had_served(
    sqlite_engine, settings, keys, now, start_sink
):
    rules = [Rule("dot", "drop", since=2, carried=1)]
    sink = start_sink(Manners(reply_delay_s=0.001, rules=rules))
    run_id = start_run(sqlite_engine, now, readers=RAISE_AFTER - 1)
    relay = with_relay(settings, sink.url, connections=4, window=0)
    result = dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=LONG)
    assert result.tally.sent + result.tally.unknown == RAISE_AFTER - 1
    assert sink.worst["connections"] <= 4


def test_after_a_connection_that_came_to_nothing_one_message_is_at_stake(
    sqlite_engine, settings, keys, now, start_sink
):
    manners = Manners(chunking=True, reply_delay_s=0.001)
    manners.rules.append(Rule("mail", "drop", times=2, since=2))
    sink = start_sink(manners)
    run_id = start_run(sqlite_engine, now, readers=200)
    relay = with_relay(settings, sink.url, connections=2, window=0)
    result = dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=DEADLINES)
    assert result.tally.unknown <= 8 + 1
    assert result.tally.sent + result.tally.unknown == 200


def test_a_relay_that_takes_nobody_has_one_message_at_stake_on_each_connection(
    sqlite_engine, settings, keys, now, start_sink
):
    sink = start_sink(Manners(chunking=True, rules=[Rule("dot", "drop")]))
    run_id = start_run(sqlite_engine, now, readers=40)
    relay = with_relay(settings, sink.url, connections=4, window=0)
    result = dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=DEADLINES)
    assert result.reason == "relay"
    assert 1 <= result.tally.unknown <= sink.worst["connections"]


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_a_relay_out_of_order_is_given_up(sqlite_engine, settings, keys, now, start_sink, stage):
    sink = start_sink(Manners(rules=[Rule(stage, "503 5.5.1 bad sequence of commands")]))
    run_id = start_run(sqlite_engine, now, readers=20)
    relay = with_relay(settings, sink.url, connections=1, window=0)
    result = dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=DEADLINES)
    assert (result.reason, result.tally.pending) == ("relay", 20)
    assert sink.worst["connections"] == MAX_FAILURES


def test_once_somebody_was_answered_a_connection_carries_as_much_as_ever(
    sqlite_engine, settings, keys, now, start_sink
):
    rules = [Rule("mail", "drop", times=1), Rule("accepted", "hold", skip=1)]
    sink = start_sink(Manners(chunking=True, rules=rules))
    run_id = start_run(sqlite_engine, now, readers=40)
    relay = with_relay(settings, sink.url, connections=1, window=0)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(
            dispatch, relay, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=DEADLINES
        )
        wait_until(lambda: len(sink.accepted()) == 2)
        wait_until(lambda: count_sending(sqlite_engine, run_id) == 8)
        sink.manners.release.set()
        run.result()


def test_a_goodbye_to_a_connection_that_idles_is_no_failure(
    sqlite_engine, settings, keys, now, start_sink, monkeypatch
):
    real, connected = Routes.on_connected, []

    def on_connected(routes, route):
        connected.append(route)
        real(routes, route)

    monkeypatch.setattr(Routes, "on_connected", on_connected)
    sink = start_sink(Manners(rules=[Rule("accepted", "hold")]))
    run_id = start_run(sqlite_engine, now, domains={"lent.example": 5})
    pace = {"lent.example": DomainPace(connections=1)}
    relay = with_relay(settings, sink.url, connections=2, window=0, domains=pace)
    with ThreadPoolExecutor(1) as pool:
        try:
            run = pool.submit(
                dispatch, relay, sqlite_engine, keys, run_id, clock=lambda: now,
                deadlines=DEADLINES,
            )  # fmt: skip
            wait_until(sink.accepted)
            for goodbyes in range(4):
                wait_until(lambda known=goodbyes: len(connected) == 2 + known)
                sink.dismiss_idle("421 4.4.2 timeout")
        finally:
            sink.manners.release.set()
    assert (run.result().reason, run.result().tally.sent) == ("", 5)
