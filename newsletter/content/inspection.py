"""What is wrong inside one paragraph, and the paragraph without it.

In: an inline token. Out: findings; the token's children mended: a link that leads nowhere is only
its text, an unknown personal field only the words written. Never: text for another medium.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from markdown_it.token import Token

from newsletter.content.faults import find, shorten
from newsletter.content.headers import alias, spellings
from newsletter.content.slugs import fold, nearest
from newsletter.content.typography import typeset
from newsletter.content.values import is_web_address
from newsletter.model import Finding, Place

if TYPE_CHECKING:
    from newsletter.content.house import House

PERSONAL = ("first_name", "last_name", "organisation")
HTML = re.compile(r"</?[A-Za-z][\w:-]*(?:\s[^<>]{0,300})?/?>|<!--")
WORD = re.compile(
    r"</?(?:o|w|st1|v|m):\w+|\bmso-[a-z-]+|<!--\[if|\bclass=\"?Mso\w*|\\\*\s?MERGEFORMAT"
)
BARE = re.compile(r"(?:https?://|(?<![\w.@/-])www\.)[^\s<>«»]{3,}")


def inspect_inline(
    inline: Token, file: str, house: House, line_at: Callable[[int], int]
) -> list[Finding]:
    """Mend the children of *inline* and say what was wrong; *line_at* maps an offset to a line."""
    findings: list[Finding] = []
    children = inline.children or []
    findings.extend(_inspect_links(children, file, house, line_at))
    findings.extend(_inspect_fields(children, file, house, line_at))
    findings.extend(_inspect_texts(children, Place(file, line_at(0)), house))
    inline.children = [child for child in children if child.type != "dropped"]
    return findings


def plain(children: list[Token]) -> str:
    """Return the words of inline tokens, without any mark."""
    words: list[str] = []
    for child in children:
        if child.type in {"softbreak", "hardbreak"}:
            words.append(" ")
        elif child.type == "image":
            words.append(plain(child.children or []))
        elif child.type in {"text", "code_inline", "field"}:
            words.append(child.content)
    return "".join(words)


def _inspect_links(
    children: list[Token], file: str, house: House, line_at: Callable[[int], int]
) -> Iterator[Finding]:
    opened: int | None = None
    for index, child in enumerate(children):
        if child.type == "link_open":
            opened = index
        elif child.type == "link_close" and opened is not None:
            opening, inside = children[opened], children[opened + 1 : index]
            place = Place(file, line_at(opening.meta.get("at", 0)))
            finding = _judge_link(opening, inside, place, house)
            if finding:
                opening.type = child.type = "dropped"
                yield finding
            opened = None


def _judge_link(opening: Token, inside: list[Token], place: Place, house: House) -> Finding | None:
    href = str(opening.attrGet("href") or "")
    label = plain(inside).strip()
    if "{{" in href:
        return find(
            "leftover_braces",
            place,
            text=shorten(href),
            example=alias("first_name", house.language),
        )
    if href.strip() in {"", "#"}:
        return find("empty_link", place, label=shorten(label))
    if not is_web_address(href):
        return find("bad_link", place, label=shorten(label), href=shorten(href))
    if not label and not any(child.type == "image" for child in inside):
        return find("empty_label", place, href=shorten(href))
    return None


def _inspect_fields(
    children: list[Token], file: str, house: House, line_at: Callable[[int], int]
) -> Iterator[Finding]:
    names = spellings(PERSONAL, house.language)
    shown = [alias(name, house.language) for name in PERSONAL]
    for child in children:
        if child.type != "field":
            continue
        place = Place(file, line_at(child.meta["at"]))
        written, fallback = child.meta["name"], child.meta["fallback"]
        name = names.get(fold(written).replace(" ", "_"))
        if name is None:
            child.type, child.meta = "text", {"judged": True}
            near = nearest(written, shown)
            known = ", ".join(shown)
            yield find("unknown_personal", place, name=shorten(written), nearest=near, known=known)
            continue
        if not (fallback or "").strip():
            yield find("no_fallback", place, name=shorten(written))
        child.meta = {"name": name, "fallback": typeset((fallback or "").strip(), house.profile)}


def _inspect_texts(children: list[Token], top: Place, house: House) -> Iterator[Finding]:
    """Look at the words themselves, line by line; one finding of a kind for each line."""
    line, in_link = top.line, 0
    said: set[tuple[str, int]] = set()
    for index, child in enumerate(children):
        if child.type in {"softbreak", "hardbreak"}:
            line += 1
        elif child.type == "link_open":
            in_link += 1
        elif child.type == "link_close":
            in_link -= 1
        elif child.type == "text" and not child.meta.get("judged"):
            first = index == 0 or children[index - 1].type in {"softbreak", "hardbreak"}
            place = Place(top.file, line)
            for finding in inspect_text(
                child.content, place, house, linked=in_link > 0, first=first
            ):
                if (finding.code, line) not in said:
                    said.add((finding.code, line))
                    yield finding


def inspect_text(
    text: str, place: Place, house: House, *, linked: bool = False, first: bool = False
) -> Iterator[Finding]:
    """Find what readers would see as rubbish: HTML, Word's remains, braces, bare addresses."""
    if first and text.startswith(":::"):
        yield find("stray_fence", place)
    if found := WORD.search(text):
        yield find("word_debris", place, text=shorten(found.group()))
    elif found := HTML.search(text):
        yield find("raw_html", place, text=shorten(found.group()))
    at = text.find("{{")
    if at >= 0:
        example = alias("first_name", house.language)
        yield find("leftover_braces", place, text=shorten(text[at:]), example=example)
    if not linked and (bare := BARE.search(text)):
        yield find("bare_link", place, href=shorten(bare.group()))
