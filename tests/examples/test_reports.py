import re

import pytest

from newsletter.examples.reports import _SAID, FeedFailed, say
from newsletter.words import translate


@pytest.mark.parametrize("code", _SAID)
def test_every_sentence_has_its_french_with_the_same_facts(code):
    _, *sentences = _SAID[code]
    for sentence in sentences:
        french = translate(sentence, "fr")
        assert french != sentence
        assert set(re.findall(r"{\w+}", french)) == set(re.findall(r"{\w+}", sentence))


def test_facts_are_never_templates():
    finding = say("no_title", file="f")
    assert finding.facts == {}
    said = translate("“{title}” has no link.", "en", {"title": "{link} {0} {{x}}"})
    assert said == "“{link} {0} {{x}}” has no link."


def test_a_failure_says_what_happened_and_what_to_do():
    failed = FeedFailed("busy", "https://a.example/", status=503)
    assert str(failed) == (
        "https://a.example/: The feed's server asks us to come back later (503)"
        " — Nothing to do: it is tried again when it says."
    )
