"""Bytes become clean text with as many lines."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.content.debris import clean, decode, is_text, scrub

BAD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\u2028\u2029\ufeff\u00ad\u202e]")


@given(st.binary(max_size=200))
def test_any_bytes_become_text_without_bad_characters(content: bytes):
    if is_text(content):
        text = decode(content, "f").text
        assert not BAD.search(text)
        assert "\r" not in text


@given(st.text(st.sampled_from("a\n\u2028\x0b\x0c\x85\u00ad\ue000•\t"), max_size=40))
def test_cleaning_keeps_the_number_of_lines(text: str):
    assert clean(text, "f").text.count("\n") == text.count("\n")


@given(st.text(max_size=80))
def test_cleaning_twice_is_cleaning_once(text: str):
    once = clean(text, "f").text
    assert scrub(once) == once


def test_each_kind_of_rubbish_is_one_finding_with_its_count():
    cleaned = clean("a\u00adb\nc\u00adc\u200bd\ne\ue001f\n", "f")
    assert [(said.code, said.line, said.facts["count"]) for said in cleaned.findings] == [
        ("private_character", 3, 1),
        ("hidden_character", 1, 3),
    ]
    assert cleaned.text == "ab\nccd\nef\n"


def test_a_line_break_of_word_parts_two_words():
    assert clean("a\x0bb\u2028c", "f").text == "a b c"


@pytest.mark.parametrize("emoji", ["👩\u200d🌾", "❤\ufe0f", "🇫🇷"])
def test_emoji_stay_whole(emoji: str):
    assert clean(emoji, "f").text == emoji


def test_names_written_from_right_to_left_stay():
    assert clean("שלום مرحبا", "f").findings == ()


def test_word_s_bullets_become_a_list():
    assert clean("\uf0b7\ta\n  •  b\n·\tc\n", "f").text == "- a\n- b\n- c\n"


def test_accents_of_an_old_mac_or_a_double_encoding_are_pointed_out():
    assert [said.code for said in clean("LÃ©gumerie", "f").findings] == ["mojibake"]
    assert clean("Ça, l’été, à Â", "f").findings == ()
