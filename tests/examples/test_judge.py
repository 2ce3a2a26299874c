from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from newsletter.examples.judge import Bench, judge, judge_feed
from newsletter.examples.parse import ParsedEntry, ParsedFeed
from newsletter.examples.reports import EntryReport
from newsletter.examples.vocabulary import build_vocabulary
from tests.examples.watching import TAXONOMY

ENTRY = ParsedEntry(
    guid="g", link="https://a.example/un", title="Un four commun", dates=("2026-05-01T08:00:00Z",)
)


@pytest.fixture
def bench(now):
    return Bench(
        feed_url="https://a.example/rss",
        source="A",
        vocabulary=build_vocabulary(TAXONOMY),
        zone=ZoneInfo("Europe/Paris"),
        now=now,
    )


def codes(sighting):
    return [finding.code for finding in sighting.repairs]


def test_a_good_entry_needs_no_repair(bench):
    assert codes(judge(ENTRY, bench)) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"title": ""}, "no_title"),
        ({"link": ""}, "link_missing"),
        ({"link": "javascript:x"}, "link_scheme"),
        ({"link": "http://10.0.0.1/"}, "link_private"),
        ({"link": "https://a@b.example/"}, "link_odd"),
    ],
)
def test_what_readers_could_not_use_is_refused_with_its_reason(bench, change, code):
    refused = judge(replace(ENTRY, **change), bench)
    assert isinstance(refused, EntryReport)
    assert refused.reason.code == code
    assert refused.reason.file == "https://a.example/rss"


@pytest.mark.parametrize(
    ("dates", "code"),
    [
        (("2099-01-01T00:00:00Z",), "date_incredible"),
        (("1999-01-01T00:00:00Z",), "date_incredible"),
        (("bientôt",), "date_unreadable"),
    ],
)
def test_a_date_that_cannot_be_believed_gives_way_to_the_first_sight(bench, now, dates, code):
    found = judge(replace(ENTRY, dates=dates), bench)
    assert codes(found) == [code]
    assert (found.example.published_at, found.example.first_seen_at) == (None, now)


def test_no_date_at_all_is_no_fault(bench):
    assert codes(judge(replace(ENTRY, dates=()), bench)) == []


def test_a_date_of_tomorrow_is_still_believed(bench, now):
    found = judge(replace(ENTRY, dates=((now + timedelta(hours=23)).isoformat(),)), bench)
    assert found.example.published_at == now + timedelta(hours=23)


def test_our_elements_come_before_the_categories(bench):
    entry = replace(
        ENTRY, region="Corse", categories=("Bretagne", "Hybridation", "ODD 3"), sdgs="5"
    )
    example = judge(entry, bench).example
    assert (example.region, example.objective, example.sdgs) == ("corse", "hybridation", (3, 5))


def test_an_image_inside_our_network_is_dropped(bench):
    assert judge(replace(ENTRY, image_url="http://127.0.0.1/i.png"), bench).example.image_url == ""


def test_a_guid_given_to_two_pages_identifies_neither(bench):
    twin = replace(ENTRY, link="https://a.example/deux", title="Deux")
    sightings, _ = judge_feed(ParsedFeed(entries=(ENTRY, twin)), bench)
    assert [codes(sighting) for sighting in sightings] == [["guid_reused"]] * 2
    assert not any(key.startswith("guid:") for one in sightings for key in one.identities)


def test_of_two_versions_the_later_counts_whatever_their_order(bench):
    later = replace(ENTRY, title="Édité", dates=(*ENTRY.dates, "2026-05-03T08:00:00Z"))
    for entries in ((ENTRY, later), (later, ENTRY)):
        sightings, _ = judge_feed(ParsedFeed(entries=entries), bench)
        assert [(one.example.title, one.superseded) for one in sightings] == [
            ("Édité", False),
            ("Un four commun", True),
        ]


def test_the_first_published_comes_first(bench):
    earlier = replace(ENTRY, guid="h", link="https://a.example/h", dates=("2026-04-01T08:00:00Z",))
    sightings, _ = judge_feed(ParsedFeed(entries=(ENTRY, earlier)), bench)
    assert [one.identities[0][-1] for one in sightings] == ["h", "g"]


def test_a_tombstone_withdraws_its_entry(bench):
    sightings, _ = judge_feed(ParsedFeed(entries=(ENTRY,), withdrawn=("g",)), bench)
    assert sightings[0].withdrawn
