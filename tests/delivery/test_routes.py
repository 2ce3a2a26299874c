"""Several relays, and one that fails: who does the work, who is tried again, who is given up."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from newsletter.config import Relay
from newsletter.delivery import pacing
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.endpoints import Deadlines
from newsletter.delivery.pacing import (
    RAISE_AFTER,
    Adaptive,
)
from newsletter.delivery.routes import MAX_FAILURES
from newsletter.errors import AuthFailed, ConnectFailed, TlsFailed
from tests.delivery.scenery import once_accepted, open_route, start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule
from tests.waiting import wait_until


def test_a_relay_that_is_down_hands_over_to_the_next(
    sqlite_engine, settings, keys, now, start_sink
):
    dead, sink = start_sink(name="dead.jsonl"), start_sink()
    dead.stop()
    run_id = start_run(sqlite_engine, now, readers=30)
    first = with_relay(settings, dead.url, window=0)
    both = first.model_copy(update={"relays": (Relay(url=sink.url, connections=2),)})
    result = dispatch(
        both, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=Deadlines(backoff=0.001)
    )
    assert result.tally.sent == 30
    assert len(sink.accepted()) == 30


def test_two_relays_share_the_work_and_send_once(sqlite_engine, settings, keys, now, start_sink):
    # Neither answers before both were written to: a slow one would find nothing left to take.
    manners = [Manners(rules=[Rule("accepted", "hold")]) for _ in range(2)]
    sinks = [start_sink(one, name=f"{i}.jsonl") for i, one in enumerate(manners)]
    run_id = start_run(sqlite_engine, now, readers=80)
    first = with_relay(settings, sinks[0].url, connections=2, window=0)
    both = first.model_copy(update={"relays": (Relay(url=sinks[1].url, connections=2),)})
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(dispatch, both, sqlite_engine, keys, run_id, clock=lambda: now)
        wait_until(lambda: all(sink.accepted() for sink in sinks))
        for one in manners:
            one.release.set()
        assert run.result().tally.sent == 80
    taken = [a.recipient for sink in sinks for a in sink.accepted()]
    assert len(taken) == len(set(taken)) == 80


def weighted(settings, heavy, light):
    first = with_relay(settings, heavy.url, connections=3, weight=3, window=0)
    return first.model_copy(update={"relays": (Relay(url=light.url, connections=3, weight=1),)})


def test_two_relays_share_the_connections_by_weight(sqlite_engine, settings, keys, now, start_sink):
    # Neither answers before all are there: who comes late would find nothing left to take.
    manners = [Manners(reply_delay_s=0.005, rules=[Rule("accepted", "hold")]) for _ in range(2)]
    heavy, light = (start_sink(one, name=f"{i}.jsonl") for i, one in enumerate(manners))
    run_id = start_run(sqlite_engine, now, readers=120)
    both = weighted(settings, heavy, light)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(dispatch, both, sqlite_engine, keys, run_id, clock=lambda: now)
        wait_until(lambda: len(heavy.accepted()) == 3 and light.accepted())
        for one in manners:
            one.release.set()
        assert run.result().tally.sent == 120
    assert (heavy.worst["open_max"], light.worst["open_max"]) == (3, 1)
    assert len(heavy.accepted()) > len(light.accepted())


def test_lanes_that_fail_together_fail_once(settings, start_sink):
    route = open_route(settings, start_sink().url)
    for _ in range(4):
        route.fail(ConnectFailed("down", host="h"), now=0.0, wait_s=5.0)
    assert (route.failures, route.dead) == (1, None)
    for now in (6.0, 12.0):
        route.fail(ConnectFailed("down", host="h"), now=now, wait_s=5.0)
    assert route.dead is not None


def test_a_relay_given_up_is_tried_again_after_the_longest_wait(settings):
    route = open_route(settings, "smtp://relay.example:25")
    give_up(route, now=100.0)
    assert route.retry_at_s == 100.0 + pacing.BACKOFF_MAX_S
    route.fail(ConnectFailed("still down", host="h"), now=route.retry_at_s, wait_s=5.0)
    assert route.retry_at_s == 100.0 + 2 * pacing.BACKOFF_MAX_S
    route.succeed()
    assert route.dead is None
    give_up(route, now=101.0)  # what it fails from now on counts again
    assert route.dead is not None


@pytest.mark.parametrize("error", [AuthFailed("535", host="h"), TlsFailed("no", host="h")])
def test_a_relay_that_a_person_must_look_at_is_never_tried_again(settings, error):
    route = open_route(settings, "smtp://relay.example:25")
    give_up(route, now=100.0)
    route.fail(error, now=1_000.0, wait_s=5.0)
    route.succeed()  # of a message that was on its way
    assert (route.dead, route.retry_at_s) == (error, math.inf)


def give_up(route, *, now):
    for _ in range(MAX_FAILURES):
        route.fail(ConnectFailed("down", host="h"), now=max(now, route.retry_at_s), wait_s=0.0)


@contextmanager
def dispatching_while_away(settings, engine, keys, now, run_id, caplog, one, other, away):
    """Dispatch by two relays; go on once the other is given up, and is no longer *away*."""
    first = with_relay(settings, one.url, connections=1, window=0)
    both = first.model_copy(update={"relays": (Relay(url=other.url, connections=2),)})
    with ThreadPoolExecutor(1) as pool:
        try:
            run = pool.submit(
                dispatch, both, engine, keys, run_id, clock=lambda: now,
                deadlines=Deadlines(backoff=0.001),
            )  # fmt: skip
            wait_until(lambda: "is left to the others" in caplog.text)
            other.manners.rules.remove(away)
            yield run
        finally:
            one.manners.release.set()
            other.manners.release.set()


def test_a_relay_that_comes_back_takes_its_share_again(
    sqlite_engine, settings, keys, now, start_sink, caplog
):
    away = Rule("banner", "421 4.3.2 away")
    one = start_sink(Manners(rules=[Rule("accepted", "hold")]), name="one.jsonl")
    other = start_sink(Manners(rules=[away, Rule("accepted", "hold", skip=1)]))
    run_id = start_run(sqlite_engine, now, readers=20)
    with dispatching_while_away(
        settings, sqlite_engine, keys, now, run_id, caplog, one, other, away
    ) as run:
        wait_until(lambda: len({accepted.connection for accepted in other.accepted()}) == 2)
    assert (run.result().tally.sent, run.result().finished) == (20, True)
    assert "works again" in caplog.text


def test_a_relay_that_may_be_back_is_tried_with_one_message(
    sqlite_engine, settings, keys, now, start_sink, caplog
):
    away = Rule("banner", "421 4.3.2 away")
    one = start_sink(Manners(rules=[Rule("accepted", "hold")]), name="one.jsonl")
    other = start_sink(Manners(chunking=True, rules=[away, Rule("accepted", "hold")]))
    run_id = start_run(sqlite_engine, now, readers=20)
    with dispatching_while_away(
        settings, sqlite_engine, keys, now, run_id, caplog, one, other, away
    ) as run:
        wait_until(other.accepted)
        one.manners.release.set()
        wait_until(lambda: len(one.accepted()) == 19)
    assert (run.result().tally.sent, len(other.accepted())) == (20, 1)


@pytest.mark.parametrize("crowded", ["421 4.7.0 too many", "554 5.7.0 too many"])
def test_a_relay_that_bears_few_connections_is_asked_for_no_more(
    sqlite_engine, settings, keys, now, start_sink, crowded
):
    sink = start_sink(Manners(open_max=2, crowded=crowded, reply_delay_s=0.001))
    run_id = start_run(sqlite_engine, now, readers=200)
    relay = with_relay(settings, sink.url, connections=4, window=0)
    result = dispatch(
        relay, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=Deadlines(backoff=0.001)
    )
    assert result.tally.sent == 200
    # Those of the beginning, and one more for every RAISE_AFTER messages.
    assert sink.worst["connections"] <= 4 + 2 * 200 // RAISE_AFTER


@pytest.mark.parametrize("large_first", [True, False])
def test_a_message_too_large_for_one_relay_leaves_by_the_other(
    sqlite_engine, settings, keys, now, start_sink, large_first
):
    small, large = start_sink(Manners(size=100), name="small.jsonl"), start_sink()
    run_id = start_run(sqlite_engine, now, readers=30)
    urls = (large.url, small.url) if large_first else (small.url, large.url)
    first = with_relay(settings, urls[0], connections=2, window=0)
    both = first.model_copy(update={"relays": (Relay(url=urls[1], connections=2),)})
    result = dispatch(both, sqlite_engine, keys, run_id, clock=lambda: now)
    assert (result.tally.sent, result.finished) == (30, True)


def test_nobody_is_refused_for_a_small_relay_while_a_larger_one_is_only_away(
    sqlite_engine, settings, keys, now, start_sink, caplog
):
    away, late = Rule("banner", "421 4.3.2 restarting"), Rule("banner", "hold")
    large = start_sink(Manners(rules=[away]), name="large.jsonl")
    small = start_sink(Manners(size=100, rules=[late]))
    run_id = start_run(sqlite_engine, now, readers=30)
    first = with_relay(settings, large.url, connections=2, window=8)
    both = first.model_copy(update={"relays": (Relay(url=small.url, connections=2),)})

    def go():
        return dispatch(
            both, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=Deadlines(backoff=0.01)
        )

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(go)
        try:
            wait_until(lambda: "is left to the others" in caplog.text)
        finally:
            small.manners.release.set()
        assert (run.result().reason, run.result().tally.pending) == ("relay", 30)
    large.manners.rules.clear()
    assert go().tally.sent == 30


def test_the_share_of_a_relay_that_dies_in_mid_run_falls_to_the_other(
    sqlite_engine, settings, keys, now, start_sink
):
    heavy, light = (start_sink(Manners(reply_delay_s=0.005), name=f"{i}.jsonl") for i in range(2))
    light.manners.rules.append(Rule("accepted", "hold", skip=20))  # it shall not send all the rest
    run_id = start_run(sqlite_engine, now, readers=200)

    def kill_heavy():
        heavy.stop()
        light.manners.release.set()

    with once_accepted(heavy, 20, kill_heavy):
        result = dispatch(
            weighted(settings, heavy, light), sqlite_engine, keys, run_id, clock=lambda: now,
            deadlines=Deadlines(backoff=0.001),
        )  # fmt: skip
    assert result.finished
    assert light.worst["open_max"] == 3
    taken = [a.recipient for sink in (heavy, light) for a in sink.accepted()]
    assert len(taken) == len(set(taken))
    states = states_of(sqlite_engine, run_id)
    assert {who for who, state in states.items() if state == "sent"} <= set(taken)
    assert result.tally.sent + result.tally.unknown == 200
    assert result.tally.unknown <= 3  # those at their dot on the relay that died


def test_a_relay_slowed_down_keeps_to_it_when_its_share_grows():
    adaptive = Adaptive(8)
    adaptive.limit(4)
    adaptive.blame(0.0)
    adaptive.limit(8)
    assert (adaptive.allowed, adaptive.ceiling) == (2, 8)
