"""What every check is given, and how to walk through it.

In: an issue, its edition, what the publication knows. Out: passages, links, figures, each with the
file and line where the editor wrote it. Never: a disk, a clock, a network; ``today`` is the day on
which the issue would leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

from newsletter.config import Settings
from newsletter.content.typography import OPAQUE
from newsletter.model import (
    Block,
    Convention,
    Edition,
    GlossaryEntry,
    Issue,
    IssueId,
    Node,
    Place,
    Prose,
    Source,
    Story,
)

if TYPE_CHECKING:
    from markdown_it.token import Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure with its sentence: ``84 %`` and what it says, from a block that cites a source."""

    value: str
    sentence: str
    source: str  # '' when the block has a field for one and none is given
    place: Place
    issue_id: IssueId


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One issue as the checks see it; ``edition`` is None when it could not be rendered.

    ``fields`` maps a block's name to its declared fields and their types, ``roles`` to the role its
    file declares. ``lines`` says where the header of a file gives a key, by its English name.
    ``featured`` maps an example's id to the other issues that have carried it. ``folders`` are the
    ids of every issue, ``numbers`` those of the others, ``figures`` what the last issues said.
    """

    issue: Issue
    settings: Settings
    today: date
    edition: Edition | None = None
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    glossary: Mapping[str, GlossaryEntry] = field(default_factory=dict)
    featured: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folders: tuple[IssueId, ...] = ()
    numbers: Mapping[IssueId, int] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)
    # What some mail client ignores and the publication lives without (``[support]`` of its theme).
    accepted: frozenset[str] = frozenset()

    def header(self, name: str, place: Place | None = None) -> Place:
        """Return the line of a header's key, of the issue or of the file of *place*."""
        place = place or self.issue.place
        return Place(place.file, self.lines.get((place.file, name), place.line))

    @property
    def language(self) -> str:
        return self.settings.publication.language.partition("-")[0]


class Role(StrEnum):
    """Where a passage stands."""

    SUBJECT = "subject"
    PREHEADER = "preheader"
    TITLE = "title"
    HEADING = "heading"
    PROSE = "prose"
    FIELD = "field"


@dataclass(frozen=True, slots=True)
class Passage:
    """Some words of the editor; its lines are those of the file, counted from ``place``."""

    text: str
    place: Place
    role: Role = Role.PROSE

    def at(self, offset: int) -> Place:
        """Return the place of the character at *offset*."""
        return Place(self.place.file, self.place.line + self.text.count("\n", 0, offset))


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the editor: its words ('' for a field of a block), where it leads, where it is."""

    label: str
    href: str
    place: Place


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading written in Markdown: ``##`` is level 2."""

    level: int
    text: str
    place: Place


# --- walking -------------------------------------------------------------------------------------


def parts(issue: Issue) -> Iterator[tuple[Story | None, tuple[Node, ...]]]:
    """Yield the edito (story None), then each story, with its nodes."""
    yield None, issue.edito
    for story in issue.stories:
        yield story, story.nodes


def walk(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield every node, each block before what it holds."""
    for node in nodes:
        yield node
        if isinstance(node, Block):
            yield from walk(node.body)


def every_node(issue: Issue) -> Iterator[Node]:
    for _, nodes in parts(issue):
        yield from walk(nodes)


def blocks(issue: Issue) -> Iterator[Block]:
    """Yield the ``:::`` blocks and the plain conventions, in order."""
    return (node for node in every_node(issue) if isinstance(node, Block))


def passages(checked: Checked) -> Iterator[Passage]:
    """Yield all the words an editor wrote, without links' addresses and code."""
    issue = checked.issue
    yield Passage(issue.subject, checked.header("subject"), Role.SUBJECT)
    yield Passage(issue.preheader, checked.header("preheader"), Role.PREHEADER)
    for story, nodes in parts(issue):
        if story is not None:
            yield Passage(story.title, checked.header("title", story.place), Role.TITLE)
        for node in walk(nodes):
            if isinstance(node, Prose):
                yield from _prose_passages(node)
            else:
                yield from _block_passages(node, checked.fields.get(node.name, {}))


def _prose_passages(prose: Prose) -> Iterator[Passage]:
    for opener, token in _inline_tokens(prose):
        role = Role.HEADING if opener.startswith("h") else Role.PROSE
        words = "".join(_worded(child) or _closed(child) for child in token.children or ())
        yield Passage(words, _place(prose, token), role)


def _closed(token: Token) -> str:
    """Return what keeps the place of code or of a personal field: « Bonjour {{ prenom }}, »."""
    return OPAQUE if token.type in {"code_inline", "field"} else ""


def _block_passages(block: Block, types: Mapping[str, str]) -> Iterator[Passage]:
    if block.title:
        yield Passage(block.title, block.place, Role.TITLE)
    for name, value in block.fields.items():
        if block.convention is not None:
            worded = name in {"label", "alt", "caption", "attribution"}
        else:
            worded = types.get(name, "text") in {"text", "markdown"}
        if worded and isinstance(value, str):
            place = block.place if block.convention else field_place(block, name)
            yield Passage(value, place, Role.FIELD)


def inline_text(token: Token) -> str:
    """Return the words of an inline token; a line break of the file stays one."""
    return "".join(_worded(child) for child in token.children or ())


def _worded(token: Token) -> str:
    match token.type:
        case "text":
            return token.content
        case "softbreak" | "hardbreak":
            return "\n"
        case "image":
            return token.content
        case _:
            return ""


def _inline_tokens(prose: Prose) -> Iterator[tuple[str, Token]]:
    """Yield each inline token with the tag of the block that holds it."""
    opener = ""
    for token in prose.tokens:
        if token.nesting == 1:
            opener = token.tag
        if token.type == "inline":
            yield opener, token


def _place(prose: Prose, token: Token) -> Place:
    return Place(prose.place.file, token.map[0] + 1 if token.map else prose.place.line)


def field_place(block: Block, name: str) -> Place:
    """Return the line of a field: they follow the block's first line, one a line."""
    return Place(block.place.file, block.place.line + 1 + list(block.fields).index(name))


# --- links, headings, figures --------------------------------------------------------------------


def links(checked: Checked) -> Iterator[Link]:
    """Yield the links of the issue: in prose, in fields typed ``url``, in conventions."""
    for node in every_node(checked.issue):
        yield from links_of(node, checked.fields)


def links_of(node: Node, fields: Mapping[str, Mapping[str, str]] | None = None) -> Iterator[Link]:
    """Yield the links of one node; without declarations, each field that is a web address."""
    if isinstance(node, Prose):
        yield from _prose_links(node)
    elif fields is not None:
        yield from _block_links(node, fields.get(node.name, {}))
    else:
        yield from _block_links(node, {name: _kind(value) for name, value in node.fields.items()})


def _kind(value: object) -> str:
    is_address = isinstance(value, str) and value.startswith(("http://", "https://"))
    return "url" if is_address else "text"


def _prose_links(prose: Prose) -> Iterator[Link]:
    for _, token in _inline_tokens(prose):
        start = _place(prose, token)
        href, label, line = "", "", start.line
        opened = line
        for child in token.children or ():
            if child.type == "link_open":
                href, label, opened = str(child.attrGet("href") or ""), "", line
            elif child.type == "link_close":
                yield Link(label, href, Place(start.file, opened))
            elif child.type in {"softbreak", "hardbreak"}:
                line += 1
                label += " "
            else:
                label += _worded(child)


def _block_links(block: Block, types: Mapping[str, str]) -> Iterator[Link]:
    if block.convention in {Convention.BUTTON, Convention.THUMBNAIL}:
        label = block.fields.get("label") or block.fields.get("alt") or ""
        yield Link(str(label), str(block.fields.get("href", "")), block.place)
        return
    for name, value in block.fields.items():
        if types.get(name) == "url":
            yield Link("", str(value), field_place(block, name))


def headings(nodes: Iterable[Node]) -> Iterator[Heading]:
    for node in walk(nodes):
        if isinstance(node, Prose):
            for opener, token in _inline_tokens(node):
                if opener in {"h1", "h2", "h3", "h4", "h5", "h6"}:
                    yield Heading(int(opener[1]), inline_text(token), _place(node, token))


def figures(issue: Issue, fields: Mapping[str, Mapping[str, str]]) -> Iterator[Figure]:
    """Yield the figures: blocks that declare a field typed ``source`` and show a number."""
    for block in blocks(issue):
        names = [name for name, kind in fields.get(block.name, {}).items() if kind == "source"]
        if not names or not any(character.isdigit() for character in block.title):
            continue
        yield Figure(
            value=block.title,
            sentence=plain_text(block.body),
            source=next((str(block.fields[n]) for n in names if block.fields.get(n)), ""),
            place=block.place,
            issue_id=issue.id,
        )


def plain_text(nodes: Iterable[Node]) -> str:
    """Return the words of *nodes* on one line."""
    found = (
        inline_text(token)
        for node in walk(nodes)
        if isinstance(node, Prose)
        for _, token in _inline_tokens(node)
    )
    return " ".join(" ".join(found).split())


def cited_sources(checked: Checked) -> Iterator[tuple[Source, Place]]:
    """Yield each source the issue cites, with the place that cites it first."""
    seen: set[str] = set()
    for source_id, place in _citations(checked):
        source = checked.sources.get(source_id)
        if source is not None and source_id not in seen:
            seen.add(source_id)
            yield source, place


def _citations(checked: Checked) -> Iterator[tuple[str, Place]]:
    labels = {note.number: note.source.id for note in checked.issue.notes if note.source}
    for node in every_node(checked.issue):
        if isinstance(node, Prose):
            for _, token in _inline_tokens(node):
                for child in token.children or ():
                    if child.type == "note_ref" and child.meta.get("number") in labels:
                        yield labels[child.meta["number"]], _place(node, token)
        else:
            for name, kind in checked.fields.get(node.name, {}).items():
                if kind == "source" and node.fields.get(name):
                    yield str(node.fields[name]), field_place(node, name)
