"""Contrast: every colour of the mail against what it stands on (A2: 4.5; large text 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from newsletter.checks.checked import Checked
from newsletter.checks.faults import find, shorten
from newsletter.checks.outline import outline
from newsletter.mail.theme import contrast
from newsletter.model import Finding

WANTED, WANTED_LARGE = 4.5, 3.0
_COLOUR = re.compile(r"(?<![\w-])color\s*:\s*(#[0-9a-f]{6})", re.IGNORECASE)
_BACKGROUND = re.compile(r"background(?:-color)?\s*:\s*(#[0-9a-f]{6})", re.IGNORECASE)
_SIZE = re.compile(r"font-size\s*:\s*(\d+(?:\.\d+)?)px", re.IGNORECASE)
_WEIGHT = re.compile(r"font-weight\s*:\s*(bold|[6-9]00)", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
Styles = Iterable[Mapping[str, str]]


def low_contrast(checked: Checked) -> Iterator[Finding]:
    """Text that fades into its background, said once for each pair of colours."""
    if checked.edition is None:
        return
    seen: set[tuple[str, str]] = set()
    for text, styles in outline(checked.edition.html).texts:
        colour, background, wanted = _look(styles)
        if not colour or (colour, background) in seen:
            continue
        seen.add((colour, background))
        ratio = contrast(colour, background)
        if ratio < wanted:
            said = f"{ratio:.1f}".replace(".", "," if checked.language == "fr" else ".")
            wants = f"{wanted:g}".replace(".", "," if checked.language == "fr" else ".")
            yield find("low_contrast", text=shorten(text, 30), ratio=said, wanted=wants)


def _look(styles: Styles) -> tuple[str, str, float]:
    """Return the colour of a text, its background, and the contrast it needs; '' when unseen."""
    colour, background, size, bold = "#000000", "#ffffff", 16.0, False
    for given in styles:
        style = given.get("style", "")
        if _HIDDEN.search(style):
            return "", background, WANTED
        background = _last(_BACKGROUND, style) or given.get("bgcolor") or background
        colour = _last(_COLOUR, style) or colour
        size = float(_last(_SIZE, style) or size)
        bold = bold or bool(_WEIGHT.search(style))
    large = size >= 24 or (bold and size >= 18.66)
    return colour.lower(), background.lower(), WANTED_LARGE if large else WANTED


def _last(pattern: re.Pattern[str], style: str) -> str:
    found = pattern.findall(style)
    return found[-1] if found else ""
