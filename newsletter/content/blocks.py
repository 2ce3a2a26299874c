"""What a block file declares, and whether what an editor wrote fits it.

In: the ``about`` of ``templates/blocks/<name>.j2``; the entries of one ``:::`` block. Out: a
declaration; the block's fields, and findings. The engine knows no block by name: only a *role*
says that a block holds the examples, the text kept for the web copy, columns, or an event.
Never: the disk; a field that the file does not declare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn

from newsletter.content.faults import find, shorten
from newsletter.content.headers import Entry
from newsletter.content.slugs import fold, nearest
from newsletter.content.values import BLOCK_KINDS, BadValue, Kind, read_value
from newsletter.errors import RenderingError
from newsletter.model import Finding, Place


class Role(StrEnum):
    """What the engine must know of a block."""

    EXAMPLES = "examples"  # the picked examples stand here
    MORE = "more"  # a link in the mail, the text itself on the web copy
    COLUMNS = "columns"  # the blocks inside stand side by side
    EVENT = "event"  # its day is to come; a correction or a portrait may be of any day

    @property
    def holds_blocks(self) -> bool:
        """Whether blocks may stand inside: side by side, or on the web copy only."""
        return self in {Role.COLUMNS, Role.MORE}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDeclaration:
    """One field of a block: ``about.fields.<name>``."""

    name: str
    kind: Kind
    required: bool = False
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDeclaration:
    """One block file: ``path`` relative to the publication, ``fields`` in the file's order."""

    name: str
    path: str
    help: str = ""
    example: str = ""
    role: Role | None = None
    fields: Mapping[str, FieldDeclaration] = field(default_factory=dict)

    def field_named(self, key: str) -> FieldDeclaration | None:
        """Find a field as an editor may write it: without regard to case and accents."""
        return next((known for name, known in self.fields.items() if fold(name) == fold(key)), None)


def declare(name: str, about: object, path: str) -> BlockDeclaration:
    """Read the ``about`` of one block file; raise RenderingError, naming the file, when it errs."""

    def refuse(message: str, remedy: str) -> NoReturn:
        raise RenderingError(message, block=name, path=path, remedy=remedy)

    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        refuse(f"“{name}” cannot name a block", "rename the file: small letters without accents")
    if not isinstance(about, Mapping):
        refuse("“about” is not a mapping", '{% set about = {"help": "…", "fields": {}} %}')
    unknown = set(about) - {"help", "example", "role", "fields"}
    if unknown:
        refuse(
            f"“about” has no key “{min(unknown)}”", "its keys are help, example, role and fields"
        )
    if not isinstance(about.get("help"), str) or not about["help"]:
        refuse("“about” has no help", "say in one sentence what the block is for")
    if not isinstance(about.get("fields", {}), Mapping):
        refuse("“fields” is not a mapping", 'write "fields": {"lien": {"type": "url"}}')
    role = about.get("role")
    if role is not None and role not in set(Role):
        refuse(f"unknown role “{role}”", f"the roles are {', '.join(Role)}")
    return BlockDeclaration(
        name=name,
        path=path,
        help=about["help"],
        example=str(about.get("example", "")),
        role=Role(role) if role else None,
        fields={
            key: _declare_field(name, key, said, path)
            for key, said in about.get("fields", {}).items()
        },
    )


# What macros know of a block besides its fields (``mail.nodes.values_of``).
RESERVED = {
    *("title", "body", "place", "level", "name", "fields"),
    *("intro", "children", "columns", "anchor", "story"),
}


def _declare_field(block: str, key: object, said: Any, path: str) -> FieldDeclaration:
    def refuse(message: str, remedy: str) -> NoReturn:
        raise RenderingError(message, block=block, path=path, remedy=remedy)

    if not isinstance(key, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        refuse(f"“{key}” cannot name a field", "use small letters without accents, digits and _")
    if key in RESERVED:
        refuse(f"“{key}” is a word of the engine", "give the field another name")
    if not isinstance(said, Mapping) or set(said) - {"type", "required", "help"}:
        refuse(f"the field “{key}” is badly declared", "its keys are type, required and help")
    kind = said.get("type")
    if kind not in set(BLOCK_KINDS):
        near = nearest(str(kind), BLOCK_KINDS)
        refuse(
            f"the field “{key}” has the unknown type “{kind}”",
            f"did you mean {near}?" if near else f"the types are {', '.join(BLOCK_KINDS)}",
        )
    return FieldDeclaration(
        name=key,
        kind=Kind(kind),
        required=bool(said.get("required", False)),
        help=str(said.get("help", "")),
    )


def read_fields(
    declaration: BlockDeclaration, entries: tuple[Entry, ...], place: Place
) -> tuple[dict[str, object], dict[str, Entry], tuple[Finding, ...]]:
    """Return the values of a block, the entry of each, and what is wrong with them."""
    name = declaration.name
    values: dict[str, object] = {}
    seen: dict[str, Entry] = {}
    suspected: set[str] = set()  # a misspelt key excuses the field it was meant for
    findings: list[Finding] = []
    for entry in entries:
        here = Place(place.file, entry.line)
        known = declaration.field_named(entry.key)
        if known is None:
            near = nearest(entry.key, declaration.fields)
            suspected.add(near)
            fields = ", ".join(declaration.fields)
            findings.append(
                find("unknown_field", here, name=name, key=entry.key, nearest=near, known=fields)
            )
            continue
        if known.name in seen:
            first = seen[known.name].line
            findings.append(find("duplicate_key", here, key=entry.key, first=first))
            continue
        seen[known.name] = entry
        if not entry.value and not known.required:
            continue  # `lien:` left empty is a field not given
        try:
            values[known.name] = read_value(known.kind, entry.value)
        except BadValue as bad:
            findings.append(bad_value(bad.kind, entry, here))
    missing = [
        find("missing_field", place, name=name, key=known.name)
        for known in declaration.fields.values()
        if known.required and known.name not in seen and known.name not in suspected
    ]
    return values, seen, (*findings, *missing)


# Any word is good for these: only the lack of one is wrong.
WORDS = {Kind.TEXT, Kind.LIST, Kind.IMAGE, Kind.MARKDOWN, Kind.PARTNERS, Kind.SOURCE}


def bad_value(kind: Kind, entry: Entry, place: Place) -> Finding:
    """Return the finding for a value that is not of its kind."""
    if kind in WORDS or not entry.value:
        return find("bad_text", place, key=entry.key)
    if kind is Kind.URL and entry.value in {"#", "http://", "https://"}:
        return find("empty_link", place, label=entry.key)
    return find(f"bad_{kind}", place, key=entry.key, value=shorten(entry.value))
