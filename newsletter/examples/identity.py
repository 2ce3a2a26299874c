"""When two entries are the same example (F5), and what editors call it.

In: an example and the identifier its feed gives it. Out: the keys under which it is known, a key of
near-duplicates, a hash of its content, a short id. Never: a look into the database.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256

from newsletter.examples.links import link_key
from newsletter.examples.text import fold_words, telling_words
from newsletter.model import Example, Finding

ID_LENGTH = 32
# Not part of what an edit changes: ids and dates of ours, and dates that depend on the clock.
_NOT_CONTENT = ("id", "source", "published_at", "first_seen_at", "featured_in", "withdrawn_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An example as one entry of one feed shows it; its ``id`` is '' until it is known.

    The first of its ``identities`` is its own; the others may be shared.
    """

    example: Example
    identities: tuple[str, ...]
    similar_key: str
    content_hash: str
    touched_at: datetime | None = None  # its latest date: of two versions the later one counts
    superseded: bool = False  # a later version of it stands in the same document
    withdrawn: bool = False
    repairs: tuple[Finding, ...] = ()


def identities(example: Example, guid: str) -> tuple[str, ...]:
    """The keys of F5, strongest first: (feed, guid), the canonical link, else title and day."""
    keys = []
    if guid:
        keys.append(f"guid:{example.feed_url}:{guid}")
    if link := link_key(example.link):
        keys.append(f"link:{link}")
    if not keys:
        keys.append(f"title:{_hash(fold_words(example.title) + _day(example))}")
    return tuple(map(_shorten, keys))


def similar_key(example: Example) -> str:
    """Equal for near-duplicates: the telling words of the title, and the territory (else the day).

    '' when there is neither: a title alone proves nothing.
    """
    where = fold_words(example.territory) or _day(example)
    if not where:
        return ""
    words = set(telling_words(example.title)) - set(where.split())
    return _shorten(" ".join(sorted(words or set(telling_words(example.title)))) + "|" + where)


def content_hash(example: Example) -> str:
    """Equal as long as its author did not edit it."""
    fields = asdict(example)
    for name in _NOT_CONTENT:
        fields.pop(name, None)
    return _hash(json.dumps(fields, sort_keys=True, default=str))


def name_example(example: Example, is_taken: Callable[[str], bool]) -> str:
    """A short id from the title, ``legumerie-partagee-cantines``; hex digits part equals."""
    stem = ""
    for word in telling_words(example.title):
        longer = f"{stem}-{word}" if stem else word[:ID_LENGTH]
        if not word.isascii() or len(longer) > ID_LENGTH or stem.count("-") >= 2:
            break
        stem = longer
    if not any(character.isalpha() for character in stem):
        stem = f"ex-{stem}".rstrip("-")  # « exemples: 2026 » asks for a number of them
    digest = _hash(f"{example.feed_url} {example.link} {example.title}")
    lengths = (0, 3, 6, 12, 64)
    names = (f"{stem}-{digest[:length]}" if length else stem for length in lengths)
    return next((name for name in names if name != "ex" and not is_taken(name)), f"ex-{digest}")


def _day(example: Example) -> str:
    return example.published_at.date().isoformat() if example.published_at else ""


def _shorten(key: str) -> str:
    """A key is an index entry: PostgreSQL refuses one above 2,704 bytes."""
    return key if len(key) <= 400 else f"hash:{_hash(key)}"


def _hash(value: str) -> str:
    return sha256(value.encode("utf-8", "replace")).hexdigest()
