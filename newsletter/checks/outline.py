"""An edition's HTML as a reader's software sees it: links, headings, pictures, text.

In: the HTML of a mail. Out: its elements in order. Never: what Outlook alone reads (conditional
comments), nor a repair of broken markup: a mail is well-formed or it is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track",
    "wbr",
}  # fmt: skip
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_UNSEEN = {"style", "script", "title", "head"}


@dataclass(frozen=True, slots=True)
class Anchor:
    """A link: its accessible name and its target."""

    name: str
    href: str


@dataclass(slots=True)
class Outline:
    """What stands in a mail, in order."""

    anchors: list[Anchor] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    images: list[Mapping[str, str]] = field(default_factory=list)
    texts: list[tuple[str, tuple[Mapping[str, str], ...]]] = field(default_factory=list)


def outline(html: str) -> Outline:
    """Return the outline of a mail's HTML."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Outline()
        self._open: list[tuple[str, dict[str, str]]] = []
        self._names: list[list[str]] = []  # the words of each open link or heading

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "img":
            self.found.images.append(given)
            self._say(given.get("alt", ""))
        if tag in _VOID:
            return
        self._open.append((tag, given))
        if tag == "a" or tag in _HEADINGS:
            self._names.append([])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {name for name, _ in self._open}:
            return
        while self._open:
            name, given = self._open.pop()
            self._close(name, given)
            if name == tag:
                return

    def _close(self, tag: str, given: dict[str, str]) -> None:
        if tag != "a" and tag not in _HEADINGS:
            return
        words = " ".join(" ".join(self._names.pop()).split())
        if tag == "a":
            self.found.anchors.append(
                Anchor(given.get("aria-label") or words, given.get("href", ""))
            )
        else:
            self.found.headings.append((int(tag[1]), words))

    def handle_data(self, data: str) -> None:
        if any(tag in _UNSEEN for tag, _ in self._open):
            return
        self._say(data)
        if data.strip():
            styles = tuple(given for _, given in self._open)
            self.found.texts.append((data, styles))

    def _say(self, words: str) -> None:
        for name in self._names:
            name.append(words)
