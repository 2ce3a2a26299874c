"""Words compared as people compare them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.content.slugs import fold, nearest, slugify


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Île", "ile"),
        ("Œuvre", "oeuvre"),
        ("L’Haÿ", "l'hay"),
        ("E\u0301lan", "élan"),
        ("ÆON", "aeon"),
    ],
)
def test_case_accents_ligatures_and_apostrophes_do_not_part_words(one: str, other: str):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("L’Haÿ-les-Roses", "l-hay-les-roses"),
        ("Île-de-France", "ile-de-france"),
        ("Œuvre & co !", "oeuvre-co"),
        ("!!!", ""),
    ],
)
def test_a_slug_is_ascii(text: str, slug: str):
    assert slugify(text) == slug


def test_the_nearest_word_is_found_through_accents():
    assert nearest("Temoignaje", ["temoignage", "chiffre"]) == "temoignage"
    assert nearest("xyz", ["temoignage"]) == ""


@given(st.text(max_size=30))
def test_folding_twice_is_folding_once(text: str):
    assert fold(fold(text)) == fold(text)
