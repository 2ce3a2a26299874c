"""The bytes of a feed → its entries, cleaned (F3, F4).

In: the bytes of an RSS or Atom document. Out: a ParsedFeed whose every field is bounded plain
text, except links and dates, bounded and left as written for ``judge``. Never: a request, a file,
or trust: feedparser raises anything on hostile input, so this runs in a child with limits.

Our own namespace, ``https://odd17.example/ns/alliance``, in RSS or Atom: one element, one text.

    <alliance:territoire>Val-de-Lise</alliance:territoire>       a place, as people say it
    <alliance:echelle>commune</alliance:echelle>                 slug or label of a scale
    <alliance:region>bretagne</alliance:region>                  slug or label of a region
    <alliance:acteurs>Ville de X | collectivite | porteur ; Y | association</alliance:acteurs>
    <alliance:objectif>hybridation</alliance:objectif>           slug or label of an objective
    <alliance:odd>8, 11, 17</alliance:odd>
    <alliance:droits>CC BY 4.0</alliance:droits>
    <alliance:statut>retire</alliance:statut>                    takes the example back

``category`` may hold the same slugs, labels or « ODD 11 ».
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import feedparser

from newsletter.examples import text
from newsletter.examples.encoding import decode, mend_ampersands

NAMESPACE = "https://odd17.example/ns/alliance"
PREFIX = "alliance"
ENTRIES = 200  # the newest of a feed
TITLE_LENGTH = 300
SUMMARY_LENGTH = 280  # what a card of the mail holds
RAW_LENGTH = 20_000  # of a summary before it is read at all
SHORT_LENGTH = 300
LINK_LENGTH = 2_000
CATEGORIES = 40
# A start tag this long is an attack: 50,000 attributes cost feedparser 24 s.
_GIANT_TAG = re.compile(r"<[A-Za-z][^<>]{100000}")
# RFC 6721: what Atom says of an entry that was taken back; feedparser keeps only the last one.
_TOMBSTONE = re.compile(
    r"""<(?:\w{1,20}:)?deleted-entry\b[^<>]{0,500}?\bref\s*=\s*["']([^"'<>]{1,500})["']"""
)


class NotAFeed(ValueError):
    """The document is no feed, or one built to hurt; ``code`` is not_a_feed or giant_tag."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedEntry:
    """One entry; ``dates`` as written, best first; ``repairs`` are codes of ``reports``."""

    guid: str = ""
    link: str = ""
    title: str = ""
    summary: str = ""
    territory: str = ""
    scale: str = ""
    region: str = ""
    actors: str = ""
    objective: str = ""
    sdgs: str = ""
    rights: str = ""
    image_url: str = ""
    categories: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    withdrawn: bool = False
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFeed:
    """A feed: its title, its entries as they stand, the guids it takes back."""

    title: str = ""
    entries: tuple[ParsedEntry, ...] = ()
    withdrawn: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()


def parse_feed(content: bytes, url: str, content_type: str = "") -> ParsedFeed:
    """Parse a document that was found at *url*; raise NotAFeed, or whatever feedparser raises."""
    document, repairs = decode(content, content_type)
    if _GIANT_TAG.search(document):
        raise NotAFeed("giant_tag")
    document, mended = mend_ampersands(document)
    # A stream, never the bytes themselves: feedparser opens bytes as the name of a file.
    found = feedparser.parse(
        io.BytesIO(document.encode()),
        response_headers={
            "content-type": "application/xml; charset=utf-8",
            "content-location": url,
        },
        sanitize_html=False,  # bypassable; nh3 does it
        resolve_relative_uris=False,
    )
    if not found.entries and not found.get("version"):
        raise NotAFeed("not_a_feed")
    if mended or found.bozo:
        repairs += ("markup",)
    prefix = _prefix(found.get("namespaces", {}))
    doubled = document if text.has_double_encoding(document) else ""
    return ParsedFeed(
        title=_short(found.feed.get("title")),
        entries=tuple(_read_entry(entry, prefix, doubled) for entry in _newest(found.entries)),
        withdrawn=tuple(_bounded(ref) for ref in _TOMBSTONE.findall(document)[:ENTRIES]),
        repairs=repairs,
    )


def _prefix(namespaces: Mapping[str, str]) -> str:
    """The prefix under which the document uses our namespace; ours when it declares none."""
    return next((p for p, uri in namespaces.items() if uri == NAMESPACE and p), PREFIX).lower()


def _newest(entries: list[Any]) -> list[Any]:
    if len(entries) <= ENTRIES:
        return entries
    return sorted(entries, key=_when, reverse=True)[:ENTRIES]


def _when(entry: Any) -> tuple[int, ...]:
    # Asked one by one: feedparser warns when it answers for another.
    parsed = (entry.get(name) for name in ("updated_parsed", "published_parsed") if name in entry)
    return tuple(next(filter(None, parsed), ()))


def _read_entry(entry: Any, prefix: str, doubled: str) -> ParsedEntry:
    raw_title, raw_summary = _string(entry.get("title")), _summary(entry)
    title, summary = text.plain(raw_title), text.plain(raw_summary[:RAW_LENGTH])
    repairs = [
        code
        for code, found in (
            ("double_encoding", _was_encoded_twice(title, doubled)),
            ("active_content", text.ACTIVE.search(raw_summary[:RAW_LENGTH] + raw_title)),
            ("too_long", len(raw_summary) > RAW_LENGTH or len(title) > TITLE_LENGTH),
        )
        if found
    ]
    own = {name: _short(entry.get(f"{prefix}_{name}")) for name in _OWN}
    return ParsedEntry(
        guid=_bounded(entry.get("id")),
        link=_bounded(entry.get("link")),
        title=text.clip(text.undo_double_encoding(title), TITLE_LENGTH),
        summary=text.clip(text.undo_double_encoding(summary), SUMMARY_LENGTH),
        territory=own["territoire"],
        scale=own["echelle"],
        region=own["region"],
        actors=text.plain(_string(entry.get(f"{prefix}_acteurs"))[:LINK_LENGTH]),
        objective=own["objectif"],
        sdgs=own["odd"],
        rights=own["droits"] or _short(entry.get("rights")),
        image_url=_image(entry),
        categories=_categories(entry),
        dates=_dates(entry),
        withdrawn=text.fold_words(own["statut"]) in {"retire", "retiree", "withdrawn"},
        repairs=tuple(repairs),
    )


_OWN = ("territoire", "echelle", "region", "objectif", "odd", "droits", "statut")


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _short(value: object) -> str:
    return text.clip(
        text.undo_double_encoding(text.plain(_string(value)[:RAW_LENGTH])), SHORT_LENGTH
    )


def _bounded(value: object) -> str:
    """An identifier or a link: cleaned, too long to be one = none."""
    cleaned = text.clean(_string(value)[: LINK_LENGTH + 1])
    return cleaned if len(cleaned) <= LINK_LENGTH else ""


def _summary(entry: Any) -> str:
    """The description; else the content."""
    if _string(entry.get("summary")).strip():
        return str(entry["summary"])
    contents = [part for part in _list(entry.get("content")) if isinstance(part, dict)]
    return _string(contents[0].get("value")) if contents else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _was_encoded_twice(title: str, doubled: str) -> bool:
    """Find, in a document that holds some, what feedparser undoes without a word."""
    if text.undo_double_encoding(title) != title:
        return True
    return not title.isascii() and text.encode_twice(title) in doubled


def _categories(entry: Any) -> tuple[str, ...]:
    tags = [tag for tag in _list(entry.get("tags"))[:CATEGORIES] if isinstance(tag, dict)]
    found = (_short(tag.get("label") or tag.get("term")) for tag in tags)
    return tuple(dict.fromkeys(filter(None, found)))


def _image(entry: Any) -> str:
    candidates = [*_list(entry.get("enclosures")), *_list(entry.get("media_content"))]
    for part in (part for part in candidates if isinstance(part, dict)):
        kind = _string(part.get("type")) or _string(part.get("medium"))
        if kind.startswith("image"):
            return _bounded(part.get("href") or part.get("url"))
    return ""


def _dates(entry: Any) -> tuple[str, ...]:
    """Published first, as written; then updated."""
    names = ("published", "created", "updated")
    found = (_string(entry.get(name))[:100] for name in names if name in entry)
    return tuple(dict.fromkeys(filter(None, (text.plain(value) for value in found))))
