"""Audience rules: what an issue's header asks for, and who that is."""

from datetime import date

import pytest

from newsletter.audience import segments
from newsletter.config import Segment
from newsletter.errors import ConfigError, ContentError
from newsletter.model import Frequency, Issue, Place, Subscriber, SubscriberState

DAY = date(2026, 5, 7)


@pytest.fixture
def publication(settings):
    """Settings with two segments."""
    return settings.model_copy(
        update={
            "segments": {
                "elus": Segment(profiles=("collectivite",)),
                "ouest": Segment(regions=("bretagne", "normandie"), objectives=("hybridation",)),
            }
        }
    )


def issue(segment: str) -> Issue:
    place = Place("issues/2026-05-07/issue.md", 4)
    return Issue(id="2026-05-07", number=1, subject="Essai", place=place, segment=segment)


def person(**fields) -> Subscriber:
    values = {"state": SubscriberState.ACTIVE, "basis": "consentement"} | fields
    return Subscriber(id=7, address="alix@example.org", **values)


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("", "weekly"),
        ("hebdo", "weekly"),
        ("mensuel", "monthly"),
        ("Monthly", "monthly"),
        ("elus", "weekly;segment=elus(profiles=collectivite)"),
        ("elus, mensuel", "monthly;segment=elus(profiles=collectivite)"),
        ("ouest", "weekly;segment=ouest(regions=bretagne,normandie;objectives=hybridation)"),
    ],
)
def test_a_header_becomes_a_rule_that_spells_its_segment_out(publication, written, rule):
    assert segments.parse_rule(publication, issue(written)) == rule


def test_an_unknown_segment_is_a_finding_with_place_and_nearest_name(publication):
    with pytest.raises(ContentError) as raised:
        segments.parse_rule(publication, issue("elsu"))
    (finding,) = raised.value.findings
    assert (finding.file, finding.line) == ("issues/2026-05-07/issue.md", 4)
    assert (finding.code, finding.facts["near"]) == ("unknown-segment", "elus")


def test_two_segments_in_one_header_are_refused(publication):
    with pytest.raises(ContentError) as raised:
        segments.parse_rule(publication, issue("elus, ouest"))
    assert raised.value.findings[0].code == "two-segments"


def test_a_segment_redefined_after_approval_is_refused(publication):
    rule = segments.parse_rule(publication, issue("elus"))
    other = publication.model_copy(update={"segments": {"elus": Segment(profiles=("media",))}})
    with pytest.raises(ConfigError):
        segments.matches(rule, person(profile="media"), other, DAY)


@pytest.mark.parametrize("rule", ["", "daily", "weekly;segment=", "weekly;segment=x()", "weekly;x"])
def test_a_rule_that_is_not_ours_is_refused(publication, rule):
    with pytest.raises(ConfigError):
        segments.resolve(rule, publication)


def test_weekly_and_monthly_readers_never_receive_the_same_issue(publication):
    for frequency in Frequency:
        reader = person(frequency=frequency)
        received = [rule for rule in Frequency if segments.matches(rule, reader, publication, DAY)]
        assert received == [frequency]


def test_without_legal_basis_nobody_is_written_to(publication):
    assert not segments.matches("weekly", person(basis=""), publication, DAY)


@pytest.mark.parametrize("state", set(SubscriberState) - set(segments.MAILED_STATES))
def test_other_states_are_never_written_to(publication, state):
    assert not segments.matches("weekly", person(state=state), publication, DAY)


@pytest.mark.parametrize(
    ("day", "receives"),
    [
        (date(2026, 7, 31), True),
        (date(2026, 8, 1), False),
        (date(2026, 8, 31), False),
        (date(2026, 9, 1), True),
    ],
)
def test_a_pause_holds_from_its_first_to_its_last_day(publication, day, receives):
    reader = person(
        state=SubscriberState.PAUSED,
        paused_from=date(2026, 8, 1),
        paused_until=date(2026, 8, 31),
    )
    assert segments.matches("weekly", reader, publication, day) is receives


def test_a_pause_without_last_day_has_no_end(publication):
    reader = person(state=SubscriberState.PAUSED)
    assert not segments.matches("weekly", reader, publication, date(2099, 1, 1))


def test_every_list_of_a_segment_must_match(publication):
    rule = segments.parse_rule(publication, issue("ouest"))
    reader = person(region="bretagne", objectives=("innovation", "hybridation"))
    assert segments.matches(rule, reader, publication, DAY)
    other = person(region="bretagne", objectives=("innovation",))
    assert not segments.matches(rule, other, publication, DAY)
