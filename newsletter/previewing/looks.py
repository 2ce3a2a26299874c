"""One mail → the same mail as different readers' software shows it.

In: the HTML of a mail or of the web copy. Out: the HTML for one frame of the preview. Never: a
browser's own preference deciding what is seen: each look says its colours itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final


class Look(StrEnum):
    """How a mail is looked at; also the last word of its address in the preview."""

    LIGHT = "light"
    DARK = "dark"  # the author's own dark colours
    FORCED = "forced"  # a client turns light colours dark by itself
    BARE = "bare"  # pictures are not loaded


_PREFERENCE = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)")
_IMAGE_SOURCE = re.compile(r'(<img\b[^>]*?)\s+src="[^"]*"')
_AWAY = re.compile(r'<a\b(?=[^>]*\shref="(?:https?|mailto):)')
_PAINTED = re.compile(
    r'<style\b[^>]*>.*?</style>|\s(?:style|bgcolor|color)="[^"]*"', re.DOTALL | re.IGNORECASE
)
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_ALWAYS, _NEVER = "(min-width:0)", "(max-width:0)"


def as_seen(html: str, look: Look) -> str:
    """Return *html* under one look, its outward links opening in a tab of their own."""
    return _AWAY.sub('<a target="_blank" rel="noopener noreferrer"', _LOOKS[look](html))


def _scheme(html: str, scheme: str) -> str:
    """Answer the media query of colours here instead of in the browser."""
    html = _PREFERENCE.sub(lambda said: _ALWAYS if said[1] == scheme else _NEVER, html)
    rule = f"<style>:root{{color-scheme:{scheme}!important}}</style></head>"
    return html.replace("</head>", rule, 1)


def _light(html: str) -> str:
    return _scheme(html, "light")


def _dark(html: str) -> str:
    return _scheme(html, "dark")


def _bare(html: str) -> str:
    """Take the pictures away and leave what stands for them."""
    return _IMAGE_SOURCE.sub(r"\1", _light(html))


def _forced(html: str) -> str:
    """Turn every colour of the light mail; pictures stay as they are."""
    light = _PREFERENCE.sub(lambda said: _ALWAYS if said[1] == "light" else _NEVER, html)
    turned = _PAINTED.sub(lambda part: _COLOUR.sub(lambda c: turn(c[0]), part[0]), light)
    rule = "<style>:root{color-scheme:dark!important}</style></head>"
    return turned.replace("</head>", rule, 1)


_LOOKS: Final[dict[Look, Callable[[str], str]]] = {
    Look.LIGHT: _light,
    Look.DARK: _dark,
    Look.FORCED: _forced,
    Look.BARE: _bare,
}

# --- colours that a client turns dark -------------------------------------------------------------

# White becomes this grey, black becomes white; hue and chroma stay (CIE L*a*b*, D65).
_DARKEST = 21.25  # L* of #333333
_WHITE = (0.95047, 1.0, 1.08883)
_TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_TO_RGB = ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))


def turn(colour: str) -> str:
    """Return ``#rrggbb`` with its lightness turned over."""
    lightness, green_red, blue_yellow = _to_lab(colour)
    turned = (lightness - 100) * ((_DARKEST - 100) / 100) + _DARKEST
    return _to_hex((turned, green_red, blue_yellow))


def _to_lab(colour: str) -> tuple[float, float, float]:
    linear = [_unbend(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5)]
    xyz = [sum(part * light for part, light in zip(row, linear, strict=True)) for row in _TO_XYZ]
    x, y, z = (_root(value / white) for value, white in zip(xyz, _WHITE, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _to_hex(lab: tuple[float, float, float]) -> str:
    middle = (lab[0] + 16) / 116
    roots = (middle + lab[1] / 500, middle, middle - lab[2] / 200)
    xyz = [_cube(root) * white for root, white in zip(roots, _WHITE, strict=True)]
    linear = [sum(part * light for part, light in zip(row, xyz, strict=True)) for row in _TO_RGB]
    return "#" + "".join(f"{round(255 * _bend(light)):02x}" for light in linear)


def _unbend(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _bend(light: float) -> float:
    light = min(1.0, max(0.0, light))
    return float(12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


def _root(value: float) -> float:
    return float(value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116)


def _cube(root: float) -> float:
    return root**3 if root**3 > 0.008856 else (root - 16 / 116) / 7.787
