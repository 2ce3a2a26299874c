"""The named holes that an edition keeps for its readers' own values.

In: a part of an edition. Out: its pieces, fixed text and holes in turn. Never: what fills a hole;
``compose`` does that.

A hole is ``name|fallback`` between U+E000 and U+E001, two characters of private use that no text
of an editor or of a feed carries: rendering takes them out before it adds its own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from newsletter.config import CONTROLS

OPEN, CLOSE = "\ue000", "\ue001"
_HOLE = re.compile(f"{OPEN}([a-z_]+)(?:\\|([^{OPEN}{CLOSE}]*))?{CLOSE}")
# T8's list: one line of text must stay one line, whatever its reader typed.
_CONTROLS = re.compile(f"(?:{CONTROLS.pattern})+")


@dataclass(frozen=True, slots=True)
class Hole:
    """A place for a reader's value; ``fallback`` is already escaped for its part."""

    name: str
    fallback: str


def hole(name: str, fallback: str = "") -> str:
    """Return the characters that stand for a hole in an edition."""
    return f"{OPEN}{name}|{fallback}{CLOSE}"


def split(part: str) -> list[str | Hole]:
    """Return the pieces of *part*: a fixed text first and last, one hole between two of them."""
    pieces: list[str | Hole] = []
    end = 0
    for found in _HOLE.finditer(part):
        pieces += [part[end : found.start()], Hole(found[1], found[2] or "")]
        end = found.end()
    return [*pieces, part[end:]]


def fill(part: str, values: Mapping[str, str], *, is_html: bool) -> str:
    """Return *part* with every hole filled: from *values*, or by its fallback."""
    return "".join(
        piece if isinstance(piece, str) else _fill_one(piece, values, is_html=is_html)
        for piece in split(part)
    )


def _fill_one(hole: Hole, values: Mapping[str, str], *, is_html: bool) -> str:
    value = values.get(hole.name)
    return (escape(value) if is_html else plain(value)) if value else hole.fallback


def plain(value: str) -> str:
    """Return *value* as one line of text: a run of controls becomes a blank."""
    return _CONTROLS.sub(" ", value)


def escape(value: str) -> str:
    """Return *value* as one line of HTML text, safe between tags and in a quoted attribute."""
    return html.escape(plain(value))
