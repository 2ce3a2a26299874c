"""Every finding is said in French, with a remedy, from whole sentences."""

from __future__ import annotations

import string

import pytest
from babel.messages.pofile import read_po

from newsletter import words
from newsletter.content.faults import FAULTS, find, shorten
from newsletter.model import Place

SENTENCES = sorted(
    {
        sentence
        for fault in FAULTS.values()
        for sentence in (fault.message, fault.remedy, fault.otherwise)
        if sentence
    }
)


def names_in(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_every_sentence_has_its_french_with_the_same_facts(sentence: str):
    french = words._catalogue("fr").get(sentence)
    assert french, f"no French for: {sentence}"
    assert names_in(french) == names_in(sentence)


def test_the_catalogue_says_nothing_that_nobody_says():
    path = words.files("newsletter") / "locale" / "fr" / "content.po"
    with path.open("rb") as source:
        said = {message.id for message in read_po(source) if message.id}
    assert said == set(SENTENCES)


@pytest.mark.parametrize("code", FAULTS)
def test_every_finding_can_be_said(code: str):
    fault = FAULTS[code]
    names = names_in(fault.message) | names_in(fault.remedy) | names_in(fault.otherwise)
    for nearest in ("proche", ""):
        facts = dict.fromkeys(names, "x{y}") | {"nearest": nearest}
        finding = find(code, Place("f.md", 3), **facts)
        said = words.say(finding, "fr")
        assert "{nearest}" not in said.remedy
        assert said.message
        assert said.remedy
        assert said.message != finding.message


def test_the_remedy_suggests_the_nearest_name_when_there_is_one():
    place = Place("f.md", 1)
    near = find("unknown_key", place, key="titr", nearest="titre", known="titre, type")
    far = find("unknown_key", place, key="zzz", nearest="", known="titre, type")
    assert words.say(near, "fr").remedy.startswith("Vouliez-vous")
    assert "«\u00a0titre\u00a0»" in words.say(near, "fr").remedy
    assert "titre, type" in words.say(far, "fr").remedy


def test_braces_in_a_remedy_are_those_an_editor_writes():
    finding = find("no_fallback", Place("f.md", 1), name="prenom")
    assert "{{ prenom | Bonjour }}" in words.say(finding, "fr").remedy


def test_a_quoted_text_is_one_short_line():
    assert shorten("a\nb  c") == "a b c"
    assert len(shorten("x" * 500)) == 60
