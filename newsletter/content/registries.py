"""partners.toml, sources.toml, glossary.toml → what an issue may name.

In: the text of each file. Out: ``Registries``, with findings for every mistake, each with its
line. Never: the disk; a half-read entry, which would print an empty name.

    [impact]                          # the id that an editor writes: [^impact], source: impact
    title = "…"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from newsletter.content.debris import compose, scrub
from newsletter.content.faults import find, shorten
from newsletter.content.slugs import nearest
from newsletter.content.values import is_web_address
from newsletter.model import Finding, GlossaryEntry, Partner, Place, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """What the publication knows by name; ``findings`` are the mistakes in its files."""

    sources: Mapping[str, Source] = field(default_factory=dict)
    partners: Mapping[str, Partner] = field(default_factory=dict)
    glossary: Mapping[str, GlossaryEntry] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def protected(self) -> tuple[str, ...]:
        """The spellings that typography leaves alone."""
        return tuple(entry.term for entry in self.glossary.values())


REQUIRED = {"partners": "name", "sources": "title", "glossary": ""}
# key → what its value must be.
SHAPES: Mapping[str, Mapping[str, type]] = {
    "partners": {"name": str, "url": str, "logo": str},
    "sources": {
        "title": str,
        "institute": str,
        "sponsor": str,
        "sample": str,
        "fielded": str,
        "published": str,
        "url": str,
        "valid_until": date,
    },
    "glossary": {"term": str, "expansion": str, "variants": tuple},
}


@dataclass(frozen=True, slots=True)
class _Sheet:
    """One registry being read."""

    name: str
    file: str
    text: str
    findings: list[Finding]

    def report(self, code: str, line: int, **facts: str | int) -> None:
        self.findings.append(find(code, Place(self.file, line), **facts))

    def line_of(self, entry: str, key: str = "") -> int:
        return line_of(self.text, entry, key)


def line_of(text: str, entry: str, key: str = "") -> int:
    """Return the line of ``[entry]`` in a registry, or of *key* below it."""
    found = 1
    inside = False
    for number, line in enumerate(text.split("\n"), start=1):
        header = re.match(r"\s*\[\s*(?:\"([^\"]*)\"|'([^']*)'|([^\]]*?))\s*\]", line)
        if header:
            inside = entry in header.groups()
            found = number if inside else found
        elif (
            (inside or not entry)
            and key
            and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line)
        ):
            return number
    return found


def read_registries(texts: Mapping[str, str]) -> Registries:
    """Read the texts of ``partners``, ``sources``, ``glossary``; an absent one is empty."""
    findings: list[Finding] = []
    read = {
        name: dict(_entries(_Sheet(name, file_of(name), texts.get(name, ""), findings)))
        for name in SHAPES
    }
    return Registries(
        partners={key: Partner(id=key, **said) for key, said in read["partners"].items()},
        sources={key: Source(id=key, **said) for key, said in read["sources"].items()},
        glossary={
            key: GlossaryEntry(**{"term": key, **said}) for key, said in read["glossary"].items()
        },
        findings=tuple(findings),
    )


def file_of(name: str) -> str:
    """Return the path of a registry in the publication."""
    return f"issues/{name}.toml"


def _entries(sheet: _Sheet) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, said in _parse(sheet).items():
        line = sheet.line_of(key)
        if not isinstance(said, dict):
            sheet.report("bad_entry", sheet.line_of("", key), name=shorten(key))
        elif (values := _read_entry(sheet, key, said)) is not None:
            required = REQUIRED[sheet.name]
            if required and not values.get(required):
                sheet.report("missing_registry_key", line, name=shorten(key), key=required)
            else:
                yield key, values


def _parse(sheet: _Sheet) -> dict[str, Any]:
    try:
        return tomllib.loads(sheet.text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(found.group(1)) if found else sheet.text.count("\n") + 1
        reason = re.sub(r"\s*\(at .*\)", "", str(error))
        sheet.report("bad_toml", line, reason=shorten(reason, 100))
        return {}


def _read_entry(sheet: _Sheet, entry: str, said: Mapping[str, object]) -> dict[str, Any] | None:
    shape = SHAPES[sheet.name]
    values: dict[str, Any] = {}
    sound = True
    for key, value in said.items():
        line = sheet.line_of(entry, key)
        if key not in shape:
            near, known = nearest(key, shape), ", ".join(shape)
            sheet.report("unknown_key", line, key=shorten(key), nearest=near, known=known)
            continue
        try:
            values[key] = _read_value(shape[key], value)
        except (TypeError, ValueError):
            sound = False
            sheet.report("bad_registry_value", line, name=shorten(entry), key=key)
            continue
        if key == "url" and value and not is_web_address(values[key]):
            sheet.report("bad_url", line, value=shorten(values[key]))
            values[key] = ""
    return values if sound or REQUIRED[sheet.name] in values else None


def _read_value(kind: type, value: object) -> object:
    if kind is str:
        return _text(value)
    if kind is tuple:
        if not isinstance(value, list):
            raise TypeError
        return tuple(_text(item) for item in value)
    if isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return " ".join(scrub(compose(value)).split(" ")).strip()


def cite(source: Source) -> tuple[str, str, str]:
    """Return what a note prints of a source: before its title, the title, and after it.

    When it came out follows the title; whom it asked and when stands apart, in parentheses.
    """
    before = [part for part in (source.institute, source.sponsor) if part]
    method = ", ".join(part for part in (source.sample, source.fielded) if part)
    after = f", {source.published}" if source.published else ""
    return (
        "".join(f"{part}, " for part in before),
        f"« {source.title} »",
        f"{after} ({method})." if method else f"{after}.",
    )
