"""A page as a screen reader walks it: landmarks, headings, pictures, links, in order.

In: the HTML of a mail or of the web copy. Out: what is announced. Never: what
is hidden from everybody (``display:none``) or from screen readers (``aria-hidden``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from html.parser import HTMLParser
from typing import Final

SNIPPET_LENGTH = 300  # of what an inbox shows


class Kind(StrEnum):
    """What a screen reader announces."""

    LANDMARK = "landmark"
    HEADING = "heading"
    PICTURE = "picture"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Heard:
    """One announcement; ``level`` of a heading, ``target`` of a link, ``role`` of a landmark."""

    kind: Kind
    words: str
    level: int = 0
    target: str = ""
    role: str = ""


def listen(html: str) -> tuple[Heard, ...]:
    """Return what a screen reader makes of *html*."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    heard = (
        Heard(one.kind, _join(one.words), one.level, one.target, one.role) for one in reader.heard
    )
    return tuple(one for one in heard if one.words or one.kind is not Kind.HEADING)


_VOID: Final = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "wbr"}
_UNSEEN: Final = {"head", "script", "style", "template", "title"}
_HEADINGS: Final = {f"h{level}" for level in range(1, 7)}
_BLOCKS: Final = {"p", "div", "td", "th", "li", "br", "tr", "table", *_HEADINGS}
_LANDMARKS: Final = {
    "article": "article",
    "aside": "complementary",
    "footer": "contentinfo",
    "header": "banner",
    "main": "main",
    "nav": "navigation",
}
# What pads a preheader so that nothing leaks behind it (EMAIL D).
_PADDING: Final = re.compile(r"[\u034f\u200b-\u200f\u2060\ufeff\u00ad]")


def _join(words: list[str]) -> str:
    return " ".join(_PADDING.sub("", "".join(words)).split())


@dataclass(slots=True)
class _Open:
    kind: Kind
    level: int = 0
    target: str = ""
    words: list[str] = field(default_factory=list)
    role: str = ""
    named: bool = False  # by aria-label: its own words are not heard


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.heard: list[_Open] = []
        self.words: list[str] = []
        self._open: list[tuple[str, _Open | None, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in _BLOCKS:
            self._say(" ")
        if tag == "img" and not self._hidden:
            self.heard.append(_Open(Kind.PICTURE, words=[given.get("alt", "")]))
            self._say(f" {given.get('alt', '')} ")
        if tag in _VOID:
            return
        hidden = tag in _UNSEEN or _is_hidden(given)
        opened = None if hidden or self._hidden else _announce(tag, given)
        if opened:
            self.heard.append(opened)
        self._open.append((tag, opened, hidden))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {name for name, _, _ in self._open}:
            return
        while self._open and self._open.pop()[0] != tag:
            pass
        if tag in _BLOCKS:
            self._say(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._say(data)

    @property
    def _hidden(self) -> bool:
        return any(hidden for _, _, hidden in self._open)

    def _say(self, data: str) -> None:
        self.words.append(data)
        for _, one, _ in self._open:
            if one and not one.named:
                one.words.append(data)


def _is_hidden(given: dict[str, str]) -> bool:
    style = given.get("style", "").replace(" ", "")
    return given.get("aria-hidden") == "true" or "hidden" in given or "display:none" in style


def _announce(tag: str, given: dict[str, str]) -> _Open | None:
    label = given.get("aria-label", "")
    if tag in _HEADINGS:
        return _Open(Kind.HEADING, level=int(tag[1]))
    if tag == "a" and "href" in given:
        return _Open(Kind.LINK, target=given["href"], words=[label], named=bool(label))
    role = given.get("role", "") or _LANDMARKS.get(tag, "")
    if role in _LANDMARKS.values() or (tag == "section" and label):
        return _Open(Kind.LANDMARK, words=[label], role=role or "region", named=True)
    return None


def snippet(html: str) -> str:
    """Return what an inbox shows after the subject: the first words, hidden ones included."""
    body = html.partition("<body")[2].partition(">")[2] or html
    body = re.sub(r"<!--.*?-->|<(style|script)\b.*?</\1>", " ", body, flags=re.DOTALL)
    reader = _Reader()
    reader.feed(re.sub(r"<[^>]+>", " ", body))
    reader.close()
    # The padding separates the preheader from what must not leak: an inbox stops there.
    return " ".join("".join(reader.words).partition("\u034f")[0].split())[:SNIPPET_LENGTH]
