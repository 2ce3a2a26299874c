"""What people send becomes values, or words for them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.config import Keys, Taxonomy, Term
from newsletter.web import forms
from newsletter.words import translate

TODAY = date(2026, 5, 7)
TAXONOMY = Taxonomy(
    objectives=(Term(slug="a", label="A"), Term(slug="b", label="B")),
    profiles=(Term(slug="media", label="Média"),),
)


def test_a_stamp_is_fresh_between_two_seconds_and_twelve_hours(keys, now):
    stamped = forms.stamp(keys, now)
    ages = (0, 1.9, 2, 12 * 3600, 12 * 3600 + 1, -5)
    fresh = [forms.is_fresh(keys, stamped, now + timedelta(seconds=age)) for age in ages]
    assert fresh == [False, False, True, True, False, False]


def test_a_stamp_survives_the_rotation_of_keys(keys, now):
    rotated = Keys(versions={**keys.versions, 2: b"\x09" * 32}, pepper=keys.pepper)
    assert forms.is_fresh(rotated, forms.stamp(keys, now), now + timedelta(minutes=1))


@given(st.text(max_size=60))
def test_no_other_text_is_a_stamp(text):
    keys = Keys(versions={1: b"\x01" * 32}, pepper=b"\x02" * 32)
    from datetime import UTC, datetime

    assert not forms.is_fresh(keys, text, datetime(2026, 5, 7, tzinfo=UTC))


def test_an_empty_form_is_the_default_of_everything():
    assert forms.read_answers({}, TAXONOMY, TODAY).choices == {
        "frequency": "weekly",
        "depth": None,
        "objectives": (),
        "profile": "",
        "region": "",
        "department": "",
        "paused_from": None,
        "paused_until": None,
    }


NAMES = st.sampled_from(
    ["frequency", "depth", "objectives", "profile", "region", "department", "pause", "until", "x"]
)
VALUES = st.sampled_from(["weekly", "monthly", "4", "a", "media", "august", "until", "2026-06-01"])


@given(st.dictionaries(NAMES, st.lists(VALUES | st.text(max_size=120), max_size=3)))
def test_whatever_is_sent_only_offered_values_are_kept(fields):
    answers = forms.read_answers(fields, TAXONOMY, TODAY)
    if answers.errors:
        return
    kept = answers.choices
    assert kept["frequency"] in {"weekly", "monthly"}
    assert kept["depth"] in {None, 2, 4, 12}
    assert {*kept["objectives"]} <= {"a", "b"}
    assert kept["profile"] in {"", "media"}
    assert len(kept["region"]) <= 100
    assert "\n" not in kept["region"] + kept["department"]
    assert kept["paused_until"] is None or kept["paused_until"] >= TODAY


@pytest.mark.parametrize(
    ("today", "year"),
    [(date(2026, 1, 1), 2026), (date(2026, 8, 31), 2026), (date(2026, 9, 1), 2027)],
)
def test_the_next_august_may_be_the_one_that_runs(today, year):
    assert forms.next_august(today) == (date(year, 8, 1), date(year, 8, 31))


@pytest.mark.parametrize("said", [forms.BAD_PAUSE_DATE, forms.BAD_CHOICE, forms.TOO_LONG])
def test_every_remark_has_its_french(said):
    assert translate(said, "fr") != said
