"""Facts about colours and inline styles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.mail.theme import contrast, ink_on, prose_styles

THEME = {
    "colours": {"ink": "#101010", "link": "#202020"},
    "fonts": {"body": "Arial,sans-serif"},
    "prose": {"p": "font:16px {body_font};color:{ink}", "a": "color:{link}"},
    "prose_in": {"chapo": {"p": "font:20px {body_font}"}},
}


def test_colours_and_fonts_are_filled_in():
    assert prose_styles(THEME)["p"] == "font:16px Arial,sans-serif;color:#101010"


def test_a_block_changes_what_it_names_and_keeps_the_rest():
    inside = prose_styles(THEME, "chapo")
    assert inside["p"] == "font:20px Arial,sans-serif"
    assert inside["a"] == "color:#202020"


def test_an_unknown_block_changes_nothing():
    assert prose_styles(THEME, "autre") == prose_styles(THEME)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("#000000", "#ffffff", 21.0), ("#767676", "#ffffff", 4.54), ("#123456", "#123456", 1.0)],
)
def test_contrast_is_that_of_wcag(one, other, expected):
    assert contrast(one, other) == pytest.approx(expected, abs=0.01)
    assert contrast(other, one) == contrast(one, other)


@given(st.integers(0, 0xFFFFFF))
def test_the_ink_on_any_colour_can_be_read(number):
    colour = f"#{number:06x}"
    assert contrast(ink_on(colour), colour) >= 4.5
