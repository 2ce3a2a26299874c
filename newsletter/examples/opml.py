"""``issues/feeds.opml`` → the feeds to watch.

In: the bytes of an OPML file that an editor, or a program, wrote. Out: addresses with their names,
and findings for the lines that cannot be used. Never: a DOCTYPE obeyed, an entity expanded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.parsers import expat

from newsletter.errors import ConfigError
from newsletter.examples.reports import say
from newsletter.examples.text import clean
from newsletter.model import Finding

MAX_BYTES = 2_000_000
MAX_FEEDS = 500
_REMEDY = "export it again from your feed reader, or write one <outline xmlUrl=…/> for each feed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A feed to watch: its address, and the name the editors gave it ('' = the feed's own)."""

    url: str
    title: str = ""


@dataclass(slots=True)
class _Reading:
    path: str
    sources: dict[str, Source] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def read_opml(content: bytes, path: str) -> tuple[tuple[Source, ...], tuple[Finding, ...]]:
    """Return the feeds in the order of the file, each address once, and what is wrong.

    Raise ConfigError with the line when the file is not plain XML.
    """
    if len(content) > MAX_BYTES:
        raise ConfigError("is too large for a list of feeds", path=path, remedy=_REMEDY)
    reading = _Reading(path)
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        # Nothing in OPML needs a DOCTYPE; entities are how XML attacks its readers.
        line = parser.CurrentLineNumber
        raise ConfigError("has a DOCTYPE", path=path, line=line, remedy="take that line out")

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.lower() == "outline":
            _read_outline(reading, attributes, parser.CurrentLineNumber)

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        line = getattr(error, "lineno", None)
        raise ConfigError("is not XML", path=path, line=line, remedy=_REMEDY) from None
    return tuple(reading.sources.values())[:MAX_FEEDS], tuple(reading.findings)


def _read_outline(reading: _Reading, attributes: dict[str, str], line: int) -> None:
    found = {name.lower(): clean(value) for name, value in attributes.items()}
    url = found.get("xmlurl", "")
    if not url:
        if found.get("type", "").lower() == "rss":  # an outline without a type is a folder
            reading.findings.append(say("outline_without_url", file=reading.path, line=line))
        return
    if not _is_web_address(url):
        reading.findings.append(
            say("outline_bad_url", file=reading.path, line=line, target=url[:200])
        )
        return
    title = found.get("title") or found.get("text", "")
    reading.sources.setdefault(url, Source(url=url, title=title[:200]))


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
