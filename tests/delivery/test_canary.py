"""The share that goes first: its size, and what it takes to let the others follow."""

from __future__ import annotations

import pytest

from newsletter.delivery.canary import Canary, count_missing
from newsletter.delivery.states import Blame, Verdict
from newsletter.model import DeliveryState, Tally


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
