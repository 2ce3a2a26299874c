"""The publication's three sample feeds: what is kept, mended, merged or refused, by entry."""

import json
from pathlib import Path

import pytest

from newsletter.examples.fetch import collect
from newsletter.examples.opml import read_opml
from newsletter.store import database
from newsletter.store.examples import list_examples
from tests.examples.watching import LABELS, PROFILES, REGIONS, SAMPLES, SCALES, watch

EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf-8"))
METROPOLE = set(REGIONS) - {"guadeloupe", "guyane", "la-reunion", "martinique", "mayotte"}


@pytest.fixture
def collected(publication, server, engine, now):
    """The report of collecting the three feeds, the evening before the issue of 7 May."""
    watch(publication, *(server.serve(f"/{name}", read(name)) for name in EXPECTED))
    return collect(publication, engine, now)


@pytest.fixture
def examples(collected, engine):
    with database.read(engine) as connection:
        return list_examples(connection)


def read(name):
    return (SAMPLES / name).read_bytes()


def tell(feed):
    return {
        "repairs": [finding.code for finding in feed.repairs],
        "entries": [
            {
                "title": entry.title,
                "outcome": entry.outcome.value,
                "example": entry.example_id,
                "repairs": [finding.code for finding in entry.repairs],
                "reason": entry.reason.code if entry.reason else "",
            }
            for entry in feed.entries
        ],
    }


def test_each_entry_is_kept_mended_merged_or_refused_as_expected(collected):
    told = {feed.url.rpartition("/")[2]: tell(feed) for feed in collected.feeds}
    assert told == EXPECTED


def test_the_numbers_of_entries_are_those_of_the_specification(collected):
    assert [len(feed.entries) for feed in collected.feeds] == [12, 10, 9]
    assert collected.counts == {
        "new": 24,
        "updated": 0,
        "merged": 3,
        "unchanged": 1,
        "withdrawn": 0,
        "refused": 3,
        "repaired": 4,
    }


def test_collecting_again_brings_nothing_new(collected, publication, engine, now):
    again = collect(publication, engine, now)
    assert again.counts | {"unchanged": 28} == again.counts
    assert (again.counts["new"], again.counts["updated"], again.counts["merged"]) == (0, 0, 0)


def test_the_order_of_the_feeds_changes_only_who_tells_an_example(publication, server, engine, now):
    watch(publication, *(server.serve(f"/{name}", read(name)) for name in reversed(EXPECTED)))
    report = collect(publication, engine, now)
    assert (report.counts["new"], report.counts["merged"]) == (24, 3)


def test_the_four_objectives_are_shown_at_least_five_times_each(examples):
    shown = [example.objective for example in examples]
    assert set(shown) == set(LABELS)
    assert min(shown.count(objective) for objective in LABELS) >= 5


def test_at_least_twelve_sdgs_are_shown(examples):
    assert len({goal for example in examples for goal in example.sdgs}) >= 12


def test_all_of_metropolitan_france_and_three_regions_overseas_are_shown(examples):
    shown = {example.region for example in examples} - {""}
    assert shown >= METROPOLE
    assert len(shown - METROPOLE) >= 3


def test_all_scales_and_all_profiles_are_shown(examples):
    assert {example.scale for example in examples} == set(SCALES)
    assert {actor.profile for one in examples for actor in one.actors} == set(PROFILES)


def test_every_example_can_be_printed_as_it_is(examples):
    for example in examples:
        shown = [example.title, example.summary, example.territory, example.source]
        assert not any(
            mark in text for text in shown for mark in ("<", "&amp;", "Ã", "â€", "\ufffd")
        )
        assert 60 <= len(example.summary) <= 280
        assert example.link.startswith("https://")


def test_the_list_of_feeds_names_the_three_files():
    sources, findings = read_opml((SAMPLES.parent / "feeds.opml").read_bytes(), "issues/feeds.opml")
    assert findings == ()
    assert [source.url.rpartition("/")[2] for source in sources] == list(EXPECTED)
    assert all(source.title for source in sources)


def test_the_third_feed_is_as_messy_as_the_wild():
    content = read("echos-du-faire-ensemble.xml")
    assert content.startswith(b"\xef\xbb\xbf<?xml")
    assert b'encoding="ISO-8859-1"' in content
    with pytest.raises(UnicodeDecodeError):
        content.decode("utf-8-sig")
    for mess in (b"\x92", b"\x9c", b"\x80", b"\xab", b"\xbb", b"\x96", "é".encode(), b" & ",
                 b"&nbsp;", b"script&gt;", b"2099", b"http://192.168."):  # fmt: skip
        assert mess in content
