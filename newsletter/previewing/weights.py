"""What an issue weighs, and what has changed since the one before it.

In: editions with what is heard in them. Out: figures, and the sections and blocks of two issues
side by side. Never: a judgement; ``checks.weight`` makes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from newsletter.checks.checked import blocks, parts
from newsletter.checks.weight import ERROR_KB, PICTURES_KB, PICTURES_LIMIT
from newsletter.checks.words import WORDS_LIMIT, count_words
from newsletter.mail.lint import transfer_bytes
from newsletter.model import Block, Edition, Issue, Node
from newsletter.previewing.spoken import Kind, listen


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Figures of one edition; sizes in KB of 1,000 octets, with one decimal."""

    html_kb: float  # after transfer encoding
    text_kb: float
    pictures: int
    pictures_kb: float
    words: int
    links: int


@dataclass(frozen=True, slots=True)
class Section:
    """The editorial or a story, and how many words its editor wrote in it."""

    title: str
    words: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One issue with everything that can be compared."""

    issue: Issue
    weights: Weights
    sections: tuple[Section, ...]
    blocks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of this issue and of the one before; ``limit`` 0 where there is none."""

    name: str
    now: float
    before: float | None
    limit: float = 0

    @property
    def change(self) -> float | None:
        return None if self.before is None else round(self.now - self.before, 1)


def measure(issue: Issue, edition: Edition) -> Measured:
    """Return the figures of an issue as it would leave."""
    words = count_words(edition.text)
    sections = tuple(_sections(issue))
    weights = Weights(
        html_kb=_kb(transfer_bytes(edition.html)),
        text_kb=_kb(len(edition.text.encode())),
        pictures=len(edition.pictures),
        pictures_kb=_kb(sum(len(picture.content) for picture in edition.pictures)),
        words=words,
        links=sum(one.kind is Kind.LINK for one in listen(edition.html)),
    )
    return Measured(
        issue=issue,
        weights=weights,
        sections=sections,
        blocks=tuple(sorted({b.name for b in blocks(issue) if not b.convention})),
    )


def _sections(issue: Issue) -> Iterator[Section]:
    for story, nodes in parts(issue):
        title = story.title if story else issue.subject
        yield Section(title, sum(count_words(text) for text in _texts(nodes)))


def _texts(nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Block):
            yield node.title
            yield from (value for value in node.fields.values() if isinstance(value, str))
            yield from _texts(node.body)
        else:
            yield from (token.content for token in node.tokens if token.type == "inline")


def _kb(octets: int) -> float:
    return round(octets / 1000, 1)


def compare(now: Measured, before: Measured | None) -> Iterator[Row]:
    """Yield each figure beside that of the issue before."""
    limits = {
        "html_kb": ERROR_KB,
        "pictures": PICTURES_LIMIT,
        "pictures_kb": PICTURES_KB,
        "words": WORDS_LIMIT,
    }
    for name in ("words", "html_kb", "text_kb", "pictures", "pictures_kb", "links"):
        was = None if before is None else getattr(before.weights, name)
        yield Row(name=name, now=getattr(now.weights, name), before=was, limit=limits.get(name, 0))


def blocks_apart(now: Measured, before: Measured | None) -> tuple[list[str], list[str]]:
    """Return the blocks that only this issue uses, and those that only the one before did."""
    ours, theirs = set(now.blocks), set(before.blocks if before else ())
    return sorted(ours - theirs), sorted(theirs - ours)
