"""Facts about the sample's look: every pair of colours that meets can be read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from newsletter.mail.theme import contrast

TEMPLATES = Path(__file__).parent.parent.parent / "templates"
THEME = tomllib.loads((TEMPLATES / "theme.toml").read_text(encoding="utf-8"))
# What stands on what.
PAIRS = [
    *[(ink, ground) for ink in ("ink", "title", "muted", "accent", "link")
      for ground in ("card", "panel")],
    ("muted", "page"), ("link", "page"), ("on_button", "button"),
    ("on_head", "head"), ("head_muted", "head"), ("head_mark", "head"),
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["colours", "dark"])
@pytest.mark.parametrize(("ink", "ground"), PAIRS)
def test_a_text_has_a_contrast_of_4_5(scheme, ink, ground):
    """A2."""
    assert contrast(THEME[scheme][ink], THEME[scheme][ground]) >= 4.5


def test_every_colour_has_its_dark_double_and_six_digits():
    assert set(THEME["colours"]) == set(THEME["dark"])
    for colour in (*THEME["colours"].values(), *THEME["dark"].values()):
        assert re.fullmatch("#[0-9a-f]{6}", colour)


def test_no_font_has_to_be_fetched():
    for stack in THEME["fonts"].values():
        assert stack.rpartition(",")[2] in {"serif", "sans-serif"}


def test_the_margins_fit_the_width():
    layout = THEME["layout"]
    assert layout["inner"] == layout["width"] - 2 * layout["gutter"]


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.j2")), ids=lambda path: path.stem)
def test_a_template_never_escapes_by_hand_nor_writes_a_short_colour(path):
    source = path.read_text(encoding="utf-8")
    assert "autoescape" not in source
    assert "|safe" not in source.replace(" ", "")
    assert not re.search(r":#[0-9a-fA-F]{3}\b(?![0-9a-fA-F])", source)
