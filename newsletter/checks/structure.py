"""Structure: headings, alternative texts, and a text part as rich as the mail (A2, A3)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from newsletter.checks.checked import Checked, blocks, headings, parts
from newsletter.checks.faults import find, shorten
from newsletter.checks.outline import outline
from newsletter.model import Finding, Place

# The issue's title is level 1, a story's 2.
TITLE_LEVEL = 2
ALT_LIMIT = 125


def heading_jumps(checked: Checked) -> Iterator[Finding]:
    """Headings that skip a level below their story's title."""
    for _, nodes in parts(checked.issue):
        before = TITLE_LEVEL
        for heading in headings(nodes):
            if heading.level == 1:
                yield find("title_level", heading.place, text=shorten(heading.text))
            elif heading.level > before + 1:
                yield find(
                    "heading_jump",
                    heading.place,
                    text=shorten(heading.text),
                    before=before,
                    level=heading.level,
                    hashes="#" * (before + 1),
                )
            before = max(heading.level, TITLE_LEVEL)


def duplicate_titles(checked: Checked) -> Iterator[Finding]:
    """Stories and headings of the same name."""
    seen: set[str] = set()
    for text, place in _titles(checked):
        folded = text.casefold().strip(" .!?…")
        if folded in seen:
            yield find("duplicate_title", place, text=shorten(text))
        seen.add(folded)


def _titles(checked: Checked) -> Iterator[tuple[str, Place]]:
    for story, nodes in parts(checked.issue):
        if story is not None:
            yield story.title, checked.header("title", story.place)
        for heading in headings(nodes):
            yield heading.text, heading.place


def long_alternatives(checked: Checked) -> Iterator[Finding]:
    """Alternative texts that a screen reader cannot pause in (A3)."""
    for block in blocks(checked.issue):
        alt = block.fields.get("alt")
        if isinstance(alt, str) and len(alt) > ALT_LIMIT:
            yield find("long_alt", block.place, length=len(alt), limit=ALT_LIMIT)


def poor_text(checked: Checked) -> Iterator[Finding]:
    """Titles and links of the mail that its text part does not have."""
    if checked.edition is None:
        return
    text = _squeeze(checked.edition.text)
    seen = outline(checked.edition.html)
    for _, heading in seen.headings:
        if _squeeze(heading) not in text:
            yield find("poor_text", text=shorten(heading))
    for anchor in dict.fromkeys(seen.anchors):
        leads_out = anchor.href.startswith(("http://", "https://")) and "\ue000" not in anchor.href
        told = _squeeze(anchor.href) in text or (anchor.name and _squeeze(anchor.name) in text)
        if leads_out and not told:
            yield find("poor_text", text=shorten(anchor.name or anchor.href))


def _squeeze(text: str) -> str:
    return "".join(text.casefold().split())


def broken_outline(checked: Checked) -> Iterator[Finding]:
    """One title of level 1, and no jump, whatever the blocks write."""
    if checked.edition is None or any(heading_jumps(checked)):
        return
    levels = [level for level, _ in outline(checked.edition.html).headings]
    jumps = any(after > before + 1 for before, after in pairwise(levels))
    if levels.count(1) != 1 or levels[0] != 1 or jumps:
        said = " ".join(f"h{level}" for level in levels) or "–"
        yield find("broken_outline", outline=said)
