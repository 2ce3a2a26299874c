"""The one grammar of `key: value` lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.content.headers import (
    ALIASES,
    alias,
    read_block_header,
    read_entry,
    read_front_matter,
    spellings,
)

KNOWN = {"titre", "lien"}


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("titre: Un : deux # trois", "titre", "Un : deux # trois"),
        ("titre:", "titre", ""),
        ("titre : [a] 'b' \"c\"", "titre", "[a] 'b' \"c\""),
        ("titre\u00a0: a", "titre", "a"),
        ("\u202ftitre\u202f:\u00a0a\u00a0", "titre", "a"),
        ("  Titre:\ta", "Titre", "a"),
        ("titre:sans blanc", "titre", "sans blanc"),
        ("lien:https://example.org:80/a", "lien", "https://example.org:80/a"),
        ("heure: 14:30", "heure", "14:30"),
    ],
)
def test_the_value_is_the_rest_of_the_line_verbatim(line: str, key: str, value: str):
    entry = read_entry(line, 3, KNOWN)
    assert entry is not None
    assert (entry.key, entry.value, entry.line) == (key, value, 3)


@pytest.mark.parametrize(
    "line",
    ["https://example.org", "mailto:a@b.example", "10:30 : début", "deux mots: a", "", "- a: b"],
)
def test_this_is_no_entry(line: str):
    assert read_entry(line, 1, KNOWN) is None


@given(st.text(st.characters(exclude_categories=["Cc", "Zl", "Zp", "Cs"]), max_size=60))
def test_any_value_comes_back_as_it_was_written(value: str):
    entry = read_entry(f"titre: {value}", 1)
    assert entry is not None
    assert entry.value == value.strip()


def test_comments_and_empty_lines_are_skipped_in_front_matter():
    lines = ["", "---", "# un", "titre: a", "", "  # deux", "---", "texte"]
    header = read_front_matter(lines, "f", KNOWN)
    assert header is not None
    assert ([entry.line for entry in header.entries], header.end) == ([4], 7)
    assert header.findings == ()


@pytest.mark.parametrize("ruler", ["---", "-----", "—", "–", "–-", "--- \u00a0"])
def test_rulers_that_word_has_beautified_are_rulers(ruler: str):
    header = read_front_matter([ruler, "titre: a", ruler, "b"], "f", KNOWN)
    assert header is not None
    assert header.end == 3


def test_a_block_may_open_with_a_heading_or_a_comment():
    lines = ["# commentaire", "lien: a", "## Titre", "lien: b"]
    entries, body = read_block_header(lines, 0, 4, KNOWN)
    assert [entry.value for entry in entries] == ["a"]
    assert body == 2


def test_every_name_has_one_alias_and_no_alias_is_another_name():
    for names in ALIASES.values():
        assert len(set(names.values())) == len(names)
        for name, word in names.items():
            assert word == name or word not in names


def test_both_spellings_are_accepted():
    assert spellings(["number"], "fr") == {"number": "number", "numero": "number"}
    assert alias("number", "fr-CA") == "numero"
    assert alias("number", "en") == "number"
