"""French typography: what changes, what never does, and that twice is once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.content.typography import (
    NBSP,
    NNBSP,
    OPAQUE,
    open_profile,
    typeset,
    typeset_pieces,
)

FRENCH = open_profile("fr", protected=["ODD 17", "Yahoo !", "L'Aquarium"])
PLAIN = open_profile("fr-FR", nnbsp=False)

# ␣ stands for U+00A0, ‿ for U+202F.
SET = {
    "Est-ce utile ?": "Est-ce utile‿?",
    "Bonjour!": "Bonjour‿!",
    "Vraiment ?!": "Vraiment‿?!",
    "oui ; non": "oui‿; non",
    "oui; non": "oui‿; non",
    "l'auteur : ici": "l’auteur␣: ici",
    "Objet: ici": "Objet␣: ici",
    "« ici »": "«␣ici␣»",
    "«ici»": "«␣ici␣»",
    "« Ici ! »": "«␣Ici‿!␣»",
    "25 %": "25␣%",
    "25%": "25␣%",
    "12 €": "12␣€",
    "1 000 €": "1‿000␣€",
    "1 234 567 habitants": "1‿234‿567 habitants",
    "aujourd'hui, l'eau": "aujourd’hui, l’eau",
    "l'« eau »": "l’«␣eau␣»",
    "attendez...": "attendez…",
    "quoi ?...": "quoi‿?…",
    "14 h 30": "14␣h␣30",
    "14h 30": "14h␣30",
    "2 h": "2␣h",
    "5 km": "5␣km",
    "n° 5": "n°␣5",
    "n°5": "n°␣5",
    "M. Dupont et Mme Élan": "M.␣Dupont et Mme␣Élan",
    "p. 12": "p.␣12",
    "ODD 17 !": "ODD␣17‿!",
    "L’Haÿ-les-Roses ?": "L’Haÿ-les-Roses‿?",
    "3 millions d'euros": "3␣millions d’euros",
}

UNTOUCHED = [
    "https://example.org/a?b=c;d:e!f",
    "voir http://odd17.org:8080/x?y",
    "a.b+c@exemple.example",
    "odd17.org",
    "www.odd17.org/a?b",
    "10:30",
    "10:30:05",
    "2026-11-26T08:00:00",
    "clin d’œil :-)",
    "clin d’œil ;-)",
    "(?) et (!)",
    "a;b",
    "1.000",
    "1ére",
    "103ème",
    "Etat",
    "rock 'n' roll",
    "2026 100 fois",
    "01 23 45 67 89",
    "{{ prenom | Bonjour ! }}",
    "::: bloc",
    "Yahoo ! et L'Aquarium",
    "....",
    "« ",
    "?",
    "M. le maire",
    "3 l’autre",
    ":smile:",
]


def show(text: str) -> str:
    return text.replace(NBSP, "␣").replace(NNBSP, "‿")


@pytest.mark.parametrize("text", SET)
def test_french_is_set(text: str):
    assert show(typeset(text, FRENCH)) == SET[text]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_this_is_never_touched(text: str):
    assert typeset(text, FRENCH) == text


@pytest.mark.parametrize("text", SET)
def test_the_plain_profile_has_no_narrow_space(text: str):
    assert typeset(text, PLAIN).replace(NBSP, " ") == typeset(text, PLAIN).replace(
        NBSP, " "
    ).replace(NNBSP, " ")
    assert NNBSP not in typeset(text, PLAIN)


def test_another_language_is_left_alone():
    assert open_profile("en") is None
    assert typeset("What ?", None) == "What ?"


def test_a_mark_after_bold_knows_the_word_before_it():
    assert typeset_pieces(["", "gras", "", " ?"], FRENCH) == ["", "gras", "", f"{NNBSP}?"]
    assert typeset_pieces(["", "lien", "", "!"], FRENCH) == ["", "lien", "", f"{NNBSP}!"]


def test_closed_pieces_stay_closed_and_their_neighbours_are_set():
    pieces = ["l'", None, " ? «", None, "»"]
    assert typeset_pieces(pieces, FRENCH) == [
        "l’",
        None,
        f"{NNBSP}? «{NBSP}",
        None,
        f"{NBSP}»",
    ]


WRITTEN = st.text(
    st.sampled_from("aeé AB19 0.,;:!?'’«»%€-()[]{}@/…\n\u00a0\u202f hkmMn°p"), max_size=40
)


@given(WRITTEN)
def test_twice_is_once(text: str):
    once = typeset(text, FRENCH)
    assert typeset(once, FRENCH) == once


@given(WRITTEN)
def test_only_blanks_apostrophes_and_ellipses_change(text: str):
    def bare(words: str) -> str:
        words = words.replace("…", "...").replace("’", "'")
        return "".join(letter for letter in words if letter not in " \u00a0\u202f")

    assert bare(typeset(text, FRENCH)) == bare(text)


@given(WRITTEN, st.lists(st.integers(0, 40), max_size=5))
def test_markup_between_the_words_changes_nothing(text: str, cuts: list[int]):
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert "".join(typeset_pieces(pieces, FRENCH)) == typeset(text, FRENCH)


@given(st.lists(st.one_of(st.none(), WRITTEN), max_size=6))
def test_closed_pieces_are_never_opened(pieces: list[str | None]):
    done = typeset_pieces(pieces, FRENCH)
    assert [piece is None for piece in done] == [piece is None for piece in pieces]
    assert OPAQUE not in "".join(piece or "" for piece in done)
