"""How fast: buckets, domains, connections that adapt, waits between attempts."""

from __future__ import annotations

import itertools
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.config import DomainPace, Relay
from newsletter.delivery import pacing
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.endpoints import Deadlines
from newsletter.delivery.pacing import (
    RAISE_AFTER,
    Adaptive,
    Domains,
    TokenBucket,
    Trust,
    take_from_all,
)
from tests.delivery.conftest import DEADLINES
from tests.delivery.scenery import open_route, start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule
from tests.waiting import PATIENCE_S

RELAY = ("smtp://relay.example:25",)


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
