from dataclasses import replace

import pytest

from newsletter.examples.identity import Sighting
from newsletter.examples.merge import Known, decide, fill
from newsletter.examples.reports import Outcome
from newsletter.model import Actor, Example

EXAMPLE = Example(
    id="", title="T", summary="S", link="https://a.example/x", source="A", feed_url="a"
)
SEEN = Sighting(
    example=EXAMPLE, identities=("guid:a:1", "link:x"), similar_key="", content_hash="h"
)
KNOWN = Known(
    example=replace(EXAMPLE, id="t"),
    lead="guid:a:1",
    content_hash="h",
    identities=frozenset(SEEN.identities),
)
OTHER = replace(SEEN, identities=("guid:b:9", "link:x"))


def test_what_nobody_knows_is_new():
    assert decide(SEEN, None).outcome is Outcome.NEW


def test_what_was_withdrawn_before_we_knew_it_is_refused():
    assert decide(replace(SEEN, withdrawn=True), None).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("seen", "known", "outcome"),
    [
        (SEEN, KNOWN, Outcome.UNCHANGED),
        (replace(SEEN, content_hash="i"), KNOWN, Outcome.UPDATED),
        (replace(SEEN, superseded=True, content_hash="i"), KNOWN, Outcome.UNCHANGED),
        (replace(SEEN, withdrawn=True), KNOWN, Outcome.WITHDRAWN),
        (OTHER, replace(KNOWN, identities=frozenset({"link:x"})), Outcome.MERGED),
        (OTHER, replace(KNOWN, identities=frozenset(OTHER.identities)), Outcome.UNCHANGED),
        (replace(OTHER, withdrawn=True), KNOWN, Outcome.UNCHANGED),
    ],
)
def test_what_a_known_example_makes_of_a_sighting(seen, known, outcome):
    assert decide(seen, known).outcome is outcome


def test_a_second_withdrawal_changes_nothing_and_a_return_is_an_update(now):
    out = replace(KNOWN, example=replace(KNOWN.example, withdrawn_at=now))
    assert decide(replace(SEEN, withdrawn=True), out).outcome is Outcome.UNCHANGED
    back = decide(SEEN, out)
    assert (back.outcome, back.example.withdrawn_at) == (Outcome.UPDATED, None)


def test_an_edit_keeps_id_first_sight_and_publication(now):
    known = replace(KNOWN, example=replace(KNOWN.example, first_seen_at=now, published_at=now))
    edited = decide(replace(SEEN, content_hash="i"), known).example
    assert (edited.id, edited.first_seen_at, edited.published_at) == ("t", now, now)


def test_filling_takes_only_what_is_missing():
    here = replace(EXAMPLE, objective="o", sdgs=(1,))
    there = replace(
        EXAMPLE, title="Z", objective="p", region="r", sdgs=(2,), actors=(Actor(name="N"),)
    )
    assert fill(here, there) == replace(here, region="r", actors=(Actor(name="N"),))
