"""Facts about the lines of the text part."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from newsletter.mail.text import WIDTH, fold

HOLE = "\ue000first_name|chère lectrice, cher lecteur\ue001"
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\ue000\ue001\ue002\ue003\r"))


def test_a_long_line_is_folded_at_76_columns():
    assert max(map(len, fold("mot " * 60).split("\n"))) <= WIDTH


def test_a_list_hangs_under_its_mark():
    lines = fold("- " + "mot " * 30).rstrip("\n").split("\n")
    assert len(lines) == 2
    assert lines[1].startswith("  mot")


def test_a_note_hangs_under_its_number():
    assert fold("[12] " + "mot " * 30).split("\n")[1].startswith("     mot")


def test_an_address_is_never_cut():
    address = "https://exemple.example/" + "a-b_c" * 30
    assert address in fold("Lire " + "mot " * 18 + address).split("\n")


def test_a_no_break_space_is_never_broken():
    folded = fold("x" * 74 + "\u00a0: et\u202f! " + "suite " * 20)
    assert "\u00a0:" in folded
    assert "\u202f!" in folded


def test_a_hole_is_whole_and_measured_by_its_fallback():
    folded = fold("mot " * 14 + HOLE + " et la suite")
    assert HOLE in folded
    first = folded.split("\n")[0]
    assert len(re.sub("\ue000[^|]*\\||\ue001", "", first)) <= WIDTH


def test_two_holes_that_touch_stay_two():
    assert fold(HOLE + HOLE) == HOLE + HOLE + "\n"


def test_empty_lines_do_not_pile_up():
    assert fold("a\n\n\n \n\nb\n\n") == "a\n\nb\n"


@given(PLAIN)
def test_no_word_is_lost(text):
    def bare(words):
        return re.sub(r"[ \t\n]+", "", words)

    assert bare(fold(text)) == bare(text)


@given(PLAIN)
def test_folding_twice_is_folding_once(text):
    once = fold(text)
    assert fold(once) == once
