"""How fast: buckets, domains, connections that adapt, waits between attempts."""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from newsletter import running
from newsletter.config import DomainPace, Relay
from newsletter.delivery import pacing
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.endpoints import Deadlines, open_endpoints
from newsletter.delivery.pacing import (
    RAISE_AFTER,
    Adaptive,
    Domains,
    TokenBucket,
    Trust,
    take_from_all,
)
from newsletter.delivery.routes import MAX_FAILURES, Route
from newsletter.errors import AuthFailed, ConnectFailed, TlsFailed
from newsletter.model import IssueId
from newsletter.store import database, schema
from tests.delivery.conftest import DEADLINES
from tests.delivery.scenery import once_accepted, start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule
from tests.waiting import PATIENCE_S, wait_until

RELAY = ("smtp://relay.example:25",)


def open_route(settings, url, **relay):
    """One relay, as a dispatch that begins sees it."""
    with open_endpoints(with_relay(settings, url, **relay)) as (endpoint,):
        return Route(endpoint, Deadlines())


@given(st.floats(0.1, 500), st.integers(1, 50), st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_a_bucket_never_lets_more_through_than_its_rate(rate, burst, waits):
    bucket, now, let = TokenBucket(rate, burst), 0.0, 0
    for wait in waits:
        now += wait
        while bucket.take(now) == 0:
            let += 1
    assert let <= burst + rate * now + 1e-6


def test_dispatches_one_after_another_let_no_more_through_than_one_long_one():
    let = 0
    for dispatch_no in range(60):  # one a minute, each in a process of its own
        pacing.BUCKETS.clear()
        (bucket,) = pacing.open_buckets(RELAY, None, 600)
        start = 60.0 * dispatch_no
        let += sum(bucket.take(start + second) == 0 for second in range(60))
    assert let <= 600 + 60  # a message each, and not a minute's worth each


def test_two_dispatches_towards_one_relay_keep_to_its_rates_together(settings):
    pace = {"orange.example": DomainPace(rate_per_s=2)}
    limits = {"rate_per_s": 10, "rate_per_hour": 600, "domains": pace}
    weekly = open_route(settings, "smtp://relay.example:25", **limits)
    special = open_route(settings, "smtp://relay.example:25", **limits)
    elsewhere = open_route(settings, "smtp://secours.example:25", **limits)

    assert take_from_all(weekly.buckets, 0.0) == 0
    assert take_from_all(special.buckets, 0.0) > 0
    assert take_from_all(elsewhere.buckets, 0.0) == 0

    (weekly, special, elsewhere) = (
        route.domains.find("orange.example") for route in (weekly, special, elsewhere)
    )
    assert take_from_all(weekly.buckets, 0.0) == 0
    assert take_from_all(special.buckets, 0.0) > 0
    assert take_from_all(elsewhere.buckets, 0.0) == 0


def test_a_dispatch_goes_on_with_what_the_last_one_left(settings):
    limits = {"rate_per_hour": 600}
    first = open_route(settings, "smtp://relay.example:25", **limits)
    assert take_from_all(first.buckets, 0.0) == 0
    del first
    second = open_route(settings, "smtp://relay.example:25", **limits)
    assert take_from_all(second.buckets, 1.0) == pytest.approx(5.0)


def test_a_rate_a_second_and_the_same_an_hour_are_two_buckets():
    buckets = pacing.open_buckets(RELAY, 0.01, 36)
    assert take_from_all(buckets, 0.0) == 0
    assert take_from_all(buckets, 100.0) == 0


def test_a_bucket_asked_by_an_earlier_clock_takes_nothing_back():
    bucket = TokenBucket(1.0, 5.0)
    assert bucket.take(10.0) == 0
    assert bucket.take(9.5) == pytest.approx(1.0)  # another thread, late with its look at the clock
    assert bucket.take(11.0) == 0


def test_threads_that_share_a_bucket_let_no_more_through_than_one():
    bucket, ticks = TokenBucket(100.0, 50.0), itertools.count()

    def take(count):
        return sum(bucket.take(next(ticks) * 0.001) == 0 for _ in range(count))

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            let = sum(pool.map(take, [5_000] * 4))
    finally:
        sys.setswitchinterval(interval_s)
    assert let <= 1 + 100 * 20


def test_a_bucket_says_how_long_to_wait():
    bucket = TokenBucket(2.0, 1.0)
    assert bucket.take(0.0) == 0
    wait = bucket.take(0.0)
    assert wait == pytest.approx(0.5)
    assert bucket.take(wait) == 0


def test_a_token_of_one_bucket_is_given_back_when_another_is_empty():
    second, hour = pacing.open_buckets(RELAY, 1, 60)
    assert take_from_all((second, hour), 0.0) == 0
    assert take_from_all((second, hour), 1.0) == pytest.approx(59.0)
    assert second.take(1.0) == 0


def test_connections_are_halved_once_a_fault_and_come_back_one_by_one():
    adaptive = Adaptive(8)
    adaptive.blame(10.0)
    adaptive.blame(10.5)  # the same fault, heard on another connection
    assert adaptive.allowed == 4
    adaptive.blame(12.0)
    adaptive.blame(14.0)
    adaptive.blame(16.0)
    assert adaptive.allowed == 1
    for _ in range(pacing.RAISE_AFTER):
        adaptive.praise()
    assert adaptive.allowed == 2


def test_only_the_domain_that_complains_is_slowed():
    domains = Domains(Relay(connections=8, domains={"Orange.example": DomainPace(connections=2)}))
    assert domains.find("orange.example").connections == 2
    assert domains.find("autre.example") is None
    domains.blame("autre.example", 0.0)
    assert domains.find("autre.example").adaptive.allowed == 4
    assert domains.find("orange.example").adaptive.allowed == 2


@given(st.integers(1, 40), st.floats(0, 0.999))
def test_the_wait_before_reconnecting_grows_from_5_seconds_to_5_minutes(failures, jitter):
    assert 2.5 <= pacing.backoff_s(failures, jitter) <= 300
    assert pacing.backoff_s(failures + 1, jitter) >= pacing.backoff_s(failures, jitter)


@pytest.mark.parametrize(
    ("relay", "window"),
    [
        ({"url": "smtp://127.0.0.1:25"}, 32),
        ({"url": "smtp://127.0.0.1:25", "rate_per_s": 10}, 0),
        ({"url": "smtp://relay.example:25"}, 0),
        ({"url": "smtp://relay.example:25", "rate_per_s": 500}, 32),
        ({"url": "smtp://relay.example:25", "window": 7}, 7),
    ],
)
def test_readers_are_claimed_ahead_only_where_speed_needs_it(relay, window):
    assert pacing.choose_window(Relay(**relay)) == window


@pytest.mark.parametrize(("most", "readers"), [(5, 40), (100, 250)], ids=["few", "orange"])
def test_a_limited_domain_keeps_to_its_connections_and_messages(
    sqlite_engine, settings, keys, now, start_sink, most, readers
):
    sink = start_sink(Manners(reply_delay_s=0.002))
    run_id = start_run(sqlite_engine, now, domains={"orange.example": readers, "autre.example": 60})
    limits = DomainPace(connections=2, max_messages_per_connection=most)
    relay = with_relay(
        settings, sink.url, connections=6, window=8, domains={"orange.example": limits}
    )
    result = dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now)
    assert result.tally.sent == readers + 60
    orange = [
        (place, accepted.connection)
        for place, accepted in enumerate(sink.accepted())
        if accepted.recipient.endswith("@orange.example")
    ]
    assert max(Counter(connection for _, connection in orange).values()) <= most
    spans = {
        connection: [place for place, other in orange if other == connection]
        for _, connection in orange
    }
    for moment in range(readers + 60):
        carrying = [places for places in spans.values() if places[0] <= moment <= places[-1]]
        assert len(carrying) <= 2


@pytest.mark.parametrize(
    ("offer", "window"),
    [({"pipelining": False}, 8), ({"chunking": True}, 0)],
    ids=["serial", "BDAT"],
)
def test_nobody_boards_a_connection_that_a_domain_has_used_up(
    sqlite_engine, settings, keys, now, start_sink, offer, window
):
    sink = start_sink(Manners(**offer, reply_delay_s=0.002))
    run_id = start_run(sqlite_engine, now, domains={"orange.example": 12, "autre.example": 60})
    limits = DomainPace(max_messages_per_connection=2)
    relay = with_relay(
        settings, sink.url, connections=1, window=window, domains={"orange.example": limits}
    )
    stop = threading.Event()
    rescue = threading.Timer(PATIENCE_S, stop.set)  # it would never end
    rescue.start()
    result = dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now, stop=stop)
    rescue.cancel()
    assert (result.finished, result.tally.sent) == (True, 72)


def test_a_domain_that_defers_everybody_slows_no_other(
    sqlite_engine, settings, keys, now, start_sink
):
    sink = start_sink(Manners(rules=[Rule("rcpt", "450 4.7.28 too fast", "@lent.example")]))
    run_id = start_run(sqlite_engine, now, domains={"lent.example": 20, "autre.example": 60})
    relay = with_relay(settings, sink.url, connections=4, window=0)
    dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now)
    by_domain = Counter(
        (address.partition("@")[2], state)
        for address, state in states_of(sqlite_engine, run_id).items()
    )
    assert by_domain == {("lent.example", "deferred"): 20, ("autre.example", "sent"): 60}


@pytest.mark.parametrize("domain", ["a.example", "b.example", "c.example", "d.example"])
def test_a_limited_domain_still_leaves_when_the_relay_is_slowed_down(
    sqlite_engine, settings, keys, now, start_sink, domain
):
    """Its few lanes, whichever they are, may be those that a throttle has closed."""
    sink = start_sink(Manners(rules=[Rule("mail", "451 4.7.0 slow down", times=1)]))
    run_id = start_run(sqlite_engine, now, domains={domain: 10})
    pace = {domain: DomainPace(connections=1)}
    relay = with_relay(settings, sink.url, connections=4, window=0, domains=pace)
    result = dispatch(
        relay, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=Deadlines(backoff=0.001)
    )
    assert result.tally.sent == 10


@pytest.mark.parametrize("domain", ["a.example", "b.example", "c.example", "d.example"])
def test_a_limited_domain_still_leaves_when_the_relay_is_in_doubt(
    sqlite_engine, settings, keys, now, start_sink, domain
):
    """One message goes first, on one lane, which may be none of the domain's few."""
    sink = start_sink(Manners(rules=[Rule("dot", "drop")]))
    run_id = start_run(sqlite_engine, now, domains={domain: 10})
    pace = {domain: DomainPace(connections=1)}
    relay = with_relay(settings, sink.url, connections=4, window=0, domains=pace)
    stop = threading.Event()
    rescue = threading.Timer(20, stop.set)  # it would never end

    def go():
        return dispatch(
            relay, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=DEADLINES, stop=stop
        )

    assert go().reason == "relay"
    sink.manners.rules.clear()
    rescue.start()
    result = go()
    rescue.cancel()
    assert (result.reason, result.tally.sent + result.tally.unknown) == ("", 10)


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


def test_a_limited_domain_loses_no_token_to_a_relay_that_has_none(
    sqlite_engine, settings, keys, now, start_sink, monkeypatch
):
    taken = []
    real = TokenBucket.take
    monkeypatch.setattr(
        TokenBucket,
        "take",
        lambda bucket, at: taken.append((bucket.rate, real(bucket, at))) or taken[-1][1],
    )
    given = Counter()
    back = TokenBucket.give_back
    monkeypatch.setattr(
        TokenBucket,
        "give_back",
        lambda bucket: given.update([bucket.rate]) or back(bucket),
    )
    run_id = start_run(sqlite_engine, now, domains={"lent.example": 6})
    relay = with_relay(
        settings, start_sink().url, connections=2, window=0, rate_per_s=100,
        domains={"lent.example": DomainPace(rate_per_s=400)},
    )  # fmt: skip
    assert dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now).tally.sent == 6
    got = Counter(rate for rate, wait_s in taken if wait_s == 0)
    assert got[400.0] - given[400.0] == got[100.0] - given[100.0] == 6


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


@pytest.fixture
def canary(monkeypatch, sqlite_engine, settings, keys, now):
    """Dispatch to a hundred readers, of whom ten go first."""
    monkeypatch.setattr("newsletter.delivery.canary.MIN_AUDIENCE", 100)
    monkeypatch.setattr("newsletter.delivery.canary.SHARE", 0.1)
    run_id = start_run(sqlite_engine, now, readers=100)

    def go(sink):
        relay = with_relay(settings, sink.url, connections=4, window=4)
        return dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now)

    return go


def test_the_canary_dies_before_the_others_leave(canary, start_sink):
    result = canary(start_sink(Manners(rules=[Rule("rcpt", "550 5.1.1 nobody", times=3)])))
    assert result.reason == "canary"
    assert (result.tally.refused, result.tally.sent, result.tally.pending) == (3, 7, 90)


def test_a_canary_that_sings_lets_the_others_leave(canary, start_sink):
    assert canary(start_sink()).tally.sent == 100


def test_a_canary_that_is_put_off_keeps_the_others_waiting(canary, start_sink):
    sink = start_sink(Manners(rules=[Rule("rcpt", "451 4.7.1 poor reputation", times=10)]))
    result = canary(sink)
    assert (result.reason, result.tally.deferred, result.tally.pending) == ("", 10, 90)
    assert canary(sink).tally.sent == 90  # ten others sang


def test_a_canary_is_remembered_by_the_next_dispatch(canary, sqlite_engine, start_sink):
    """One that was killed before it could stop the run."""
    ids = select(schema.delivery.c.subscriber_id).limit(6).scalar_subquery()
    with database.write(sqlite_engine) as connection:
        connection.execute(
            update(schema.delivery)
            .where(schema.delivery.c.subscriber_id.in_(ids))
            .values(state="refused", reason="refused")
        )
    result = canary(start_sink())
    assert (result.reason, result.tally.sent) == ("canary", 4)


def test_a_person_lets_the_others_go_after_the_canary_died(canary, sqlite_engine, start_sink):
    rules = [Rule("rcpt", "550 5.1.1 nobody", times=5), Rule("rcpt", "450 4.2.0 later", times=5)]
    sink = start_sink(Manners(rules=rules))
    assert canary(sink).reason == "canary"
    running.go_on(sqlite_engine, IssueId("2026-05-07"))
    result = canary(sink)
    assert (result.reason, result.tally.sent, result.tally.deferred) == ("", 90, 5)


def test_a_lane_waits_longer_for_each_connection_that_was_asked_in_vain():
    trust = Trust()
    waits = [trust.lose(in_vain=True, was_asked=True, doubted=False) for _ in range(3)]
    assert (waits, trust.is_lost) == ([1, 2, 3], True)
    trust.praise()
    assert not trust.is_lost


def test_a_lane_does_not_wait_behind_a_connection_that_served():
    assert Trust().lose(in_vain=False, was_asked=True, doubted=False) == 0


def test_a_lane_forgets_lost_answers_after_a_quiet_stretch():
    trust = Trust()
    for _ in range(4):
        trust.praise()
        assert trust.lose(in_vain=False, was_asked=True, doubted=True)
    for _ in range(RAISE_AFTER):
        trust.praise()
    assert trust.lose(in_vain=False, was_asked=True, doubted=True) == 1
