"""An issue → the words to post about it on a social network.

In: an issue and the address of its web copy. Out: at most 3,000 characters, no markup, the link
last (DOMAIN 4.3.8). Never: a reader's name, an address in the middle, a sentence cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from newsletter.content.inspection import plain
from newsletter.model import Block, Issue, Node

if TYPE_CHECKING:
    from markdown_it.token import Token

LIMIT = 3000
# A story's first words: enough to make one want to read on.
_TASTE = 280


def social_text(issue: Issue, *, url: str) -> str:
    """Return the subject, the édito, each story's first words, then *url*."""
    ending = f"Lire le numéro\u00a0: {url}"
    parts = [issue.subject, *_paragraphs(issue.edito)]
    parts += [_taste(story.title, story.nodes) for story in issue.stories]
    kept: list[str] = []
    for part in parts:
        if part and len("\n\n".join([*kept, part, ending])) <= LIMIT:
            kept.append(part)
    return "\n\n".join([*kept, ending]) + "\n"


def _taste(title: str, nodes: Sequence[Node]) -> str:
    first = next(_paragraphs(nodes), "")
    return f"→ {title}\n{_shorten(first)}".rstrip()


def _shorten(paragraph: str) -> str:
    """Return the first sentences of *paragraph*, none cut nor announcing what does not follow."""
    sentences = re.split(r"(?<=[.!?…])\s+", paragraph)
    kept = ""
    for sentence in sentences:
        if sentence.endswith(":"):
            break
        longer = f"{kept} {sentence}".strip()
        if len(longer) > _TASTE:
            break
        kept = longer
    return kept


def _paragraphs(nodes: Sequence[Node]) -> Iterator[str]:
    """Yield the paragraphs of *nodes* as bare words, those that speak to one reader left out."""
    for node in nodes:
        if isinstance(node, Block):
            yield from _paragraphs(node.body)
            continue
        for token in node.tokens:
            if token.type == "inline" and not _is_personal(token):
                words = " ".join(plain(_spoken(token)).split(" ")).strip()
                if words:
                    yield words


def _is_personal(inline: Token) -> bool:
    return any(child.type == "field" for child in inline.children or ())


def _spoken(inline: Token) -> list[Token]:
    return [child for child in inline.children or () if child.type != "note_ref"]
