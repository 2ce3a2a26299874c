"""``templates/theme.toml`` → the inline styles that mail clients need.

In: the theme as a mapping. Out: CSS for each Markdown element, colours and fonts filled in, with
what a block changes; contrast, for whoever must judge a colour. Never: a file, a block's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Theme = Mapping[str, Any]


def prose_styles(theme: Theme, block: str = "") -> dict[str, str]:
    """Return the CSS of each Markdown element inside *block* ('' for ordinary prose)."""
    values = {
        **theme["colours"],
        **{f"{name}_font": stack for name, stack in theme["fonts"].items()},
    }
    written = {**theme["prose"], **theme.get("prose_in", {}).get(block, {})}
    return {element: str(css).format_map(values) for element, css in written.items()}


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two ``#rrggbb`` colours, from 1 to 21 (WCAG 2.2, 1.4.3)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink_on(colour: str) -> str:
    """Return black or white, whichever reads better on *colour*: always 4.5 or more."""
    return max(("#ffffff", "#000000"), key=lambda ink: contrast(ink, colour))
