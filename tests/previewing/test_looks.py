"""How the preview shows a mail as other clients would."""

from __future__ import annotations

import re

import pytest

from newsletter.mail.theme import contrast
from newsletter.previewing.looks import Look, as_seen, turn

MAIL = (
    "<html><head><style>p{color:#000000}"
    "@media (prefers-color-scheme:dark){p{color:#ffffff}}</style>"
    '</head><body><p style="background:#ffffff">Mot '
    '<a href="https://a.example/#ffffff">ici</a><img alt="Un pont" src="https://a.example/p.png">'
    "</p></body></html>"
)


def test_a_look_answers_the_question_of_dark_colours_itself():
    light, dark = as_seen(MAIL, Look.LIGHT), as_seen(MAIL, Look.DARK)
    assert "prefers-color-scheme" not in light + dark
    assert "@media (max-width:0)" in light
    assert "@media (min-width:0)" in dark


def test_without_images_only_the_alternative_is_left():
    assert re.findall("<img[^>]*>", as_seen(MAIL, Look.BARE)) == ['<img alt="Un pont">']


def test_forced_dark_turns_colours_and_leaves_links_alone():
    forced = as_seen(MAIL, Look.FORCED)
    assert "background:#333333" in forced
    assert 'href="https://a.example/#ffffff"' in forced


def test_outward_links_leave_the_frame():
    assert 'target="_blank" rel="noopener noreferrer" href="https://' in as_seen(MAIL, Look.LIGHT)


def test_turning_makes_white_a_dark_grey_and_black_white():
    assert (turn("#ffffff"), turn("#000000")) == ("#333333", "#ffffff")


@pytest.mark.parametrize("colour", ["#a63a1e", "#16324f", "#f4c76b", "#24303a", "#1a5785"])
def test_a_turned_colour_can_be_told_from_the_ground_it_lost(colour):
    ground = "#ffffff" if contrast(colour, "#ffffff") > 4.5 else "#16324f"
    assert contrast(turn(colour), turn(ground)) >= 4.5
