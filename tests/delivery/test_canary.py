"""The share that goes first: its size, and what it takes to let the others follow."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from newsletter import running
from newsletter.delivery.canary import Canary, count_missing
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.states import Blame, Verdict
from newsletter.model import DeliveryState, IssueId, Tally
from newsletter.store import database, schema
from tests.delivery.scenery import start_run, with_relay
from tests.delivery.sink import Manners, Rule


@pytest.mark.parametrize(
    ("tally", "missing"),
    [
        (Tally(audience=4_999), 0),
        (Tally(audience=20_000), 200),
        (Tally(audience=20_000, sent=120, refused=30), 50),
        (Tally(audience=20_000, sent=300), 0),
    ],
)
def test_one_percent_of_a_large_audience_goes_first_over_all_dispatches(tally, missing):
    assert count_missing(tally) == missing


def test_a_canary_dies_above_two_percent():
    assert not Canary(answered=200, taken=196, refused=4).is_dead
    assert Canary(answered=200, taken=195, refused=5).is_dead


def test_a_canary_that_is_put_off_does_not_sing():
    assert Canary(answered=200, taken=101, refused=0).sings
    assert not Canary(answered=200, taken=100, refused=0).sings
    assert not Canary(answered=0, taken=0, refused=0).sings


def test_a_lost_connection_says_nothing():
    canary = Canary(answered=0, taken=0, refused=0)
    canary.count(Verdict(DeliveryState.UNKNOWN, "drop", Blame.CONNECTION))
    assert canary.answered == 0


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
