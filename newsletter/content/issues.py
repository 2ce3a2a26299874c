"""Clean texts of one folder → the Issue, with everything that is wrong with it.

In: the issue's id, its files in reading order, the house's rules. Out: ``Reading``. Values of a
header that are wrong fall back to nothing, so that one reading finds every mistake and a preview
still shows something; the findings keep the issue from leaving. Never: the disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final, TypeVar

from newsletter.content.blocks import bad_value
from newsletter.content.debris import compose
from newsletter.content.faults import find, shorten
from newsletter.content.headers import Entry, alias, read_front_matter, settle, spellings
from newsletter.content.house import House
from newsletter.content.inspection import inspect_text
from newsletter.content.markdown import Parsed, parse
from newsletter.content.nodes import build_nodes
from newsletter.content.notes import number_notes
from newsletter.content.slugs import fold, nearest, slugify
from newsletter.content.typography import Profile, typeset
from newsletter.content.values import BadValue, Kind, read_value
from newsletter.model import Finding, Issue, IssueId, Place, Reading, Story

ISSUE_KEYS: Final[Mapping[str, Kind]] = {
    "number": Kind.COUNT,
    "subject": Kind.TEXT,
    "preheader": Kind.TEXT,
    "theme": Kind.TEXT,
    "examples": Kind.EXAMPLES,
    "author": Kind.TEXT,
    "segment": Kind.TEXT,
}
STORY_KEYS: Final[Mapping[str, Kind]] = {
    "title": Kind.TEXT,
    "kind": Kind.TEXT,
    "objectives": Kind.LIST,
    "sdgs": Kind.SDGS,
    "territory": Kind.TEXT,
    "profiles": Kind.LIST,
    "depth": Kind.COUNT,
    "expires": Kind.DATE,
}
REQUIRED: Final = ("number", "subject", "title")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class SourceText:
    """One file of an issue: its path in the publication and its clean text."""

    file: str
    text: str


@dataclass(slots=True)
class _Head:
    """A file's header, read: values by English name, where each stands, where the text begins."""

    file: str
    house: House
    values: dict[str, object] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    start: int = 0
    findings: list[Finding] = field(default_factory=list)

    def place(self, name: str) -> Place:
        entry = self.entries.get(name)
        return Place(self.file, entry.line if entry else 1)

    def get(self, name: str, default: Value) -> Value:
        value = self.values.get(name, default)
        return value if isinstance(value, type(default)) else default

    def text(self, name: str, profile: Profile | None) -> str:
        """Return a text of the header, typeset; braces and HTML in it are findings."""
        text = self.get(name, "")
        place = self.place(name)
        self.findings.extend(inspect_text(text, place, self.house, linked=True))
        return typeset(compose(text), profile)

    def term(self, name: str) -> str:
        """Return the slug that a word of the taxonomy means."""
        written = self.get(name, "")
        found = self._terms(name, (written,) if written else ())
        return found[0] if found else ""

    def terms(self, name: str) -> tuple[str, ...]:
        return self._terms(name, self.get(name, ()))

    def _terms(self, name: str, written: tuple[str, ...]) -> tuple[str, ...]:
        terms = self.house.terms.get(name)
        if not terms:
            return written  # the publication has not said what it knows
        slugs = {fold(word): term.slug for term in terms for word in (term.label, term.slug)}
        found: list[str] = []
        for word in written:
            slug = slugs.get(fold(word))
            if slug:
                found.append(slug)
                continue
            near = nearest(word, [term.slug for term in terms])
            key, known = self.entries[name].key, ", ".join(term.slug for term in terms)
            self._report(
                "unknown_term", name, value=shorten(word), key=key, nearest=near, known=known
            )
        return tuple(found)

    def _report(self, code: str, name: str, **facts: str | int) -> None:
        self.findings.append(find(code, self.place(name), **facts))

    def segment(self) -> str:
        known = {fold(name): name for name in self.house.segments}
        words = [word for part in self.get("segment", "").split(",") if (word := part.strip())]
        for word in words:
            if fold(word) not in known:
                near = nearest(word, self.house.segments)
                self._report("unknown_segment", "segment", value=shorten(word), nearest=near)
        # What is unknown is kept as written: never an issue for everybody by mistake.
        return ", ".join(known.get(fold(word), word) for word in words)

    def author(self) -> str:
        author = self.get("author", "")
        known = {fold(name): name for name in self.house.people}
        if author and known and fold(author) not in known:
            near = nearest(author, self.house.people)
            self._report("unknown_author", "author", value=shorten(author), nearest=near)
        return known.get(fold(author), author)


def build_issue(issue_id: IssueId, sources: Sequence[SourceText], house: House) -> Reading:
    """Return the issue whose first source is ``issue.md``, the others its stories in order."""
    heads = [
        _read_head(source, STORY_KEYS if index else ISSUE_KEYS, house)
        for index, source in enumerate(sources)
    ]
    bodies = [
        parse(source.text, source.file, house, start=head.start)
        for source, head in zip(sources, heads, strict=True)
    ]
    notes = number_notes(bodies, house)
    stories: list[Story] = []
    for head, body in zip(heads[1:], bodies[1:], strict=True):
        stories.append(_build_story(head, body, stories))
    issue = _build_issue(issue_id, heads[0], bodies[0])
    findings = tuple(
        finding
        for head, body in zip(heads, bodies, strict=True)
        for finding in sorted((*head.findings, *body.findings), key=lambda said: said.line or 0)
    )
    return Reading(issue=replace(issue, stories=tuple(stories), notes=notes), findings=findings)


def _read_head(source: SourceText, keys: Mapping[str, Kind], house: House) -> _Head:
    head = _Head(source.file, house)
    names = spellings(keys, house.language)
    shown = [alias(name, house.language) for name in keys]
    required = [name for name in keys if name in REQUIRED]
    header = read_front_matter(source.text.split("\n"), source.file, names)
    if header is None:
        wanted = ", ".join(f"{alias(name, house.language)}: …" for name in required)
        head.findings.append(find("no_header", Place(source.file, 1), keys=wanted))
        return head
    head.start = header.end
    head.entries, unknown = settle(header.entries, source.file, names, shown=shown)
    head.findings.extend((*header.findings, *unknown))
    for name, entry in head.entries.items():
        _read_one(head, name, keys[name], entry)
    suspected = {
        names[fold(str(said.facts.get("nearest")))] for said in unknown if said.facts.get("nearest")
    }
    for name in required:
        if name not in head.entries and name not in suspected:
            key = alias(name, house.language)
            head.findings.append(find("missing_key", Place(source.file, 1), key=key))
    return head


def _read_one(head: _Head, name: str, kind: Kind, entry: Entry) -> None:
    if not entry.value and name not in REQUIRED:
        return  # `accroche:` left empty is a key not given
    try:
        head.values[name] = read_value(kind, entry.value)
    except BadValue as bad:
        head.findings.append(bad_value(bad.kind, entry, Place(head.file, entry.line)))


def _build_issue(issue_id: IssueId, head: _Head, body: Parsed) -> Issue:
    house = head.house
    wanted = head.values.get("examples", 0)
    return Issue(
        id=issue_id,
        number=head.get("number", 0),
        subject=head.text("subject", house.plain),
        place=Place(head.file, 1),
        preheader=head.text("preheader", house.plain),
        theme=head.text("theme", house.profile),
        author=head.author(),
        segment=head.segment(),
        edito=build_nodes(body, house),
        wanted_examples=wanted if isinstance(wanted, int | tuple) else 0,
    )


def _build_story(head: _Head, body: Parsed, before: Sequence[Story]) -> Story:
    house = head.house
    expires = head.values.get("expires")
    depth = head.values.get("depth")
    return Story(
        slug=_slug(head, before),
        title=head.text("title", house.profile),
        place=Place(head.file, 1),
        nodes=build_nodes(body, house),
        kind=head.term("kind"),
        objectives=head.terms("objectives"),
        sdgs=head.get("sdgs", ()),
        territory=head.term("territory"),
        profiles=head.terms("profiles"),
        depth=depth if isinstance(depth, int) else None,
        expires=expires if isinstance(expires, date) else None,
    )


def _slug(head: _Head, before: Sequence[Story]) -> str:
    """Return the file's name without its number: what the web copy's anchors are made of."""
    stem = head.file.rpartition("/")[2].rpartition(".")[0]
    slug = slugify(re.sub(r"^\d+[-_ .]*", "", stem)) or slugify(stem) or "story"
    taken = {story.slug for story in before}
    if slug not in taken:
        return slug
    head.findings.append(find("slug_taken", Place(head.file, 1), slug=slug))
    return next(f"{slug}-{n}" for n in range(2, len(taken) + 3) if f"{slug}-{n}" not in taken)
