"""The editors' ``key: value`` lines: one grammar for front matter and for blocks (DESIGN 3).

In: lines. Out: entries, each with its line, and findings. Not YAML: the key ends at the first
colon, the rest of the line is the value, verbatim; ``#`` begins a comment line. French keyboards
put no-break spaces around colons: they are blanks here. Never: a value interpreted (``values``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from newsletter.content.faults import find, shorten
from newsletter.content.slugs import fold, nearest
from newsletter.model import Finding, Place

BLANK = " \t\u00a0\u202f"
ENTRY = re.compile(
    rf"[{BLANK}]{{0,8}}(?P<key>[^\W\d_][\w-]{{0,40}})[{BLANK}]{{0,8}}:(?P<value>(?:[{BLANK}].*)?)$"
)
# Without a blank after the colon only a known key counts, else https://… would be a key.
TIGHT_ENTRY = re.compile(rf"[{BLANK}]{{0,8}}(?P<key>[^\W\d_][\w-]{{0,40}}):(?P<value>[^/\s].*)$")
RULER = re.compile(rf"(?:-{{3,}}|[–—]{{1,3}}-?)[{BLANK}]*$")

# English name → what an editor of that language writes. The one table (DESIGN 3).
ALIASES: Final[Mapping[str, Mapping[str, str]]] = {
    "fr": {
        "number": "numero",
        "subject": "objet",
        "preheader": "accroche",
        "theme": "theme",
        "examples": "exemples",
        "author": "auteur",
        "segment": "segment",
        "title": "titre",
        "kind": "type",
        "objectives": "objectifs",
        "sdgs": "odd",
        "territory": "territoire",
        "profiles": "profils",
        "depth": "profondeur",
        "expires": "expire",
        "first_name": "prenom",
        "last_name": "nom",
        "organisation": "organisation",
    },
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``key: value`` line; ``key`` as written, ``line`` from 1."""

    key: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Header:
    """A file's header: its entries, and the index of the first line below it."""

    entries: tuple[Entry, ...]
    end: int
    findings: tuple[Finding, ...] = ()


def alias(name: str, language: str) -> str:
    """Return the key that ``new`` writes for *name* in a publication of *language*."""
    return ALIASES.get(language.partition("-")[0], {}).get(name, name)


def spellings(names: Collection[str], language: str) -> dict[str, str]:
    """Return every accepted spelling, folded, of each English name."""
    return {fold(name): name for name in names} | {
        fold(alias(name, language)): name for name in names
    }


def read_entry(line: str, number: int, known: Collection[str] = ()) -> Entry | None:
    """Return the entry of one line, or None when it is something else."""
    found = ENTRY.match(line)
    if not found:
        found = TIGHT_ENTRY.match(line)
        if not found or fold(found["key"]) not in known:
            return None
    return Entry(found["key"], found["value"].strip(), number)


def read_front_matter(lines: Sequence[str], file: str, known: Collection[str]) -> Header | None:
    """Read the header between two ``---`` lines; None when the file does not begin with one."""
    start = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if start >= len(lines) or not RULER.match(lines[start]):
        return None
    entries: list[Entry] = []
    findings: list[Finding] = []
    for index in range(start + 1, len(lines)):
        line = lines[index]
        if RULER.match(line):
            return Header(tuple(entries), index + 1, tuple(findings))
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if entry := read_entry(line, index + 1, known):
            entries.append(entry)
        else:
            place = Place(file, index + 1)
            findings.append(find("header_line", place, text=shorten(line)))
    return _unclosed(lines, start, file, known)


def _unclosed(lines: Sequence[str], start: int, file: str, known: Collection[str]) -> Header:
    """Take the entries right below the opening line: the text after them must not be lost."""
    entries: list[Entry] = []
    index = start + 1
    while index < len(lines):
        entry = read_entry(lines[index], index + 1, known)
        if entry:
            entries.append(entry)
        elif not lines[index].lstrip().startswith("#"):
            break
        index += 1
    return Header(tuple(entries), index, (find("unclosed_header", Place(file, start + 1)),))


def read_block_header(
    lines: Sequence[str], start: int, end: int, known: Collection[str]
) -> tuple[tuple[Entry, ...], int]:
    """Read the fields below a block's opening line; return them and where its text begins.

    ``##`` begins the text, not a comment: a block may open with a heading.
    """
    entries: list[Entry] = []
    index = start
    while index < end:
        line = lines[index]
        comment = re.match(rf"[{BLANK}]*#(?!#)", line)
        entry = None if comment else read_entry(line, index + 1, known)
        if entry:
            entries.append(entry)
        elif not comment:
            break
        index += 1
    return tuple(entries), index


def settle(
    entries: Sequence[Entry], file: str, names: Mapping[str, str], *, shown: Sequence[str]
) -> tuple[dict[str, Entry], tuple[Finding, ...]]:
    """Sort *entries* under the English names of *names* (folded spelling → name).

    Unknown keys and keys given twice are findings; *shown* are the spellings to suggest.
    """
    settled: dict[str, Entry] = {}
    findings: list[Finding] = []
    for entry in entries:
        place = Place(file, entry.line)
        name = names.get(fold(entry.key))
        if name is None:
            near = nearest(entry.key, shown)
            known = ", ".join(shown)
            findings.append(find("unknown_key", place, key=entry.key, nearest=near, known=known))
        elif name in settled:
            first = settled[name].line
            findings.append(find("duplicate_key", place, key=entry.key, first=first))
        else:
            settled[name] = entry
    return settled, tuple(findings)
