"""The text of a value → what it means, checked by pydantic.

In: a kind of value and the words an editor wrote. Out: a Python value, or BadValue, whose kind
names the finding ``bad_<kind>``. Never: a guess; ``1.2`` is no whole number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from newsletter.content.slugs import fold

MONTHS = {
    "janvier": 1, "fevrier": 2, "mars": 3, "avril": 4, "mai": 5, "juin": 6, "juillet": 7,
    "aout": 8, "septembre": 9, "octobre": 10, "novembre": 11, "decembre": 12,
}  # fmt: skip
_QUOTES = "\"'«»“”‘’ \u00a0\u202f"
SCHEMES = frozenset({"http", "https", "mailto", "tel"})


class Kind(StrEnum):
    """What a value must be; the first ten are what a block file may declare."""

    TEXT = "text"
    INT = "int"
    URL = "url"
    DATE = "date"
    IMAGE = "image"  # the path of a picture
    LIST = "list"  # texts with commas between them
    BOOL = "bool"
    MARKDOWN = "markdown"  # one line of Markdown
    PARTNERS = "partners"  # ids of partners.toml
    SOURCE = "source"  # an id of sources.toml
    COUNT = "count"  # a whole number above zero
    SDGS = "sdgs"  # goals 1–17
    EXAMPLES = "examples"  # a number, or ids


BLOCK_KINDS: Final = tuple(Kind)[:10]


class BadValue(ValueError):
    """The words are not a value of this kind."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.kind = kind


def is_web_address(text: str) -> bool:
    """Whether a mail can open it: a known scheme, a host or an address, nothing that splits it."""
    if not text or re.search(r"[\s<>\"\x00-\x20\x7f{}|\\^`]", text):
        return False
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return False
    if parts.scheme not in SCHEMES:
        return False
    return bool(host) if parts.scheme.startswith("http") else bool(parts.path)


def _plain_number(text: object) -> object:
    """« 1 000 » is written with spaces, narrow or not, in French."""
    return re.sub(r"(?<=\d)[ \u00a0\u202f](?=\d{3}\b)", "", text) if isinstance(text, str) else text


def _iso_day(text: object) -> object:
    """Read 26/11/2026 and « 26 novembre 2026 » as 2026-11-26; leave the rest to pydantic."""
    if not isinstance(text, str):
        return text
    if found := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text):
        day, month, year = found.groups()
        return f"{year}-{int(month):02}-{int(day):02}"
    if found := re.fullmatch(r"(?:[a-z]+ )?(\d{1,2})(?:er)? ([a-z]+) (\d{4})", fold(text)):
        day, name, year = found.groups()
        if name in MONTHS:
            return f"{year}-{MONTHS[name]:02}-{int(day):02}"
    # A bare number would be read as seconds since 1970.
    return text if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else "not a day"


def _yes_or_no(text: object) -> object:
    words = {"oui": True, "vrai": True, "non": False, "faux": False}
    return words.get(fold(text), text) if isinstance(text, str) else text


def split_list(text: object) -> object:
    """Part « a, b, c » at its commas."""
    if not isinstance(text, str):
        return text
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _web_address(text: str) -> str:
    if not is_web_address(text):
        raise ValueError("not a web address")
    return text


def _more_than_quotes(text: str) -> str:
    """A header is not YAML: ``""`` is two characters, and was meant as nothing."""
    if not text.strip(_QUOTES):
        raise ValueError("no text")
    return text


def _count_or_ids(text: object) -> object:
    if not isinstance(text, str) or re.fullmatch(r"[+-]?\d+([.,]\d+)?", text):
        return text
    return split_list(text)


_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Number = Annotated[int, BeforeValidator(_plain_number), Field(ge=-(10**15), le=10**15)]
_List = Annotated[tuple[_Text, ...], BeforeValidator(split_list), Field(min_length=1)]
_Id = Annotated[str, StringConstraints(pattern=r"^[\w.:/-]+$", max_length=200)]

_ADAPTERS: Final[Mapping[Kind, TypeAdapter[object]]] = {
    Kind.TEXT: TypeAdapter(Annotated[_Text, AfterValidator(_more_than_quotes)]),
    Kind.INT: TypeAdapter(_Number),
    Kind.URL: TypeAdapter(Annotated[_Text, BeforeValidator(_web_address)]),
    Kind.DATE: TypeAdapter(Annotated[date, BeforeValidator(_iso_day)]),
    Kind.IMAGE: TypeAdapter(_Text),
    Kind.LIST: TypeAdapter(_List),
    Kind.BOOL: TypeAdapter(Annotated[bool, BeforeValidator(_yes_or_no)]),
    Kind.MARKDOWN: TypeAdapter(_Text),
    Kind.PARTNERS: TypeAdapter(_List),
    Kind.SOURCE: TypeAdapter(_Text),
    Kind.COUNT: TypeAdapter(Annotated[_Number, Field(ge=1)]),
    Kind.SDGS: TypeAdapter(
        Annotated[
            tuple[Annotated[int, Field(ge=1, le=17)], ...],
            BeforeValidator(split_list),
            Field(min_length=1),
        ]
    ),
    Kind.EXAMPLES: TypeAdapter(
        Annotated[
            Annotated[int, Field(ge=0, le=50)] | Annotated[tuple[_Id, ...], Field(min_length=1)],
            BeforeValidator(_count_or_ids),
        ]
    ),
}


def read_value(kind: Kind, text: str) -> object:
    """Return what *text* means as a *kind*; raise BadValue when it means nothing."""
    try:
        return _ADAPTERS[kind].validate_python(text)
    except ValidationError:
        raise BadValue(kind) from None
