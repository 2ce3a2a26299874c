"""What a setting must look like: addresses, a language, a time, a database; what a section is.

In: a value as TOML or the environment gives it. Out: the same value; ValueError in one phrase that
completes « setting: … ». Never: DNS, a file, the environment.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    field_validator,
)
from pydantic_core import PydanticCustomError

CONTROLS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
# A dot-atom of ASCII, then a domain in any script: what any relay can carry.
_ADDRESS = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*@[^\s@<>()\[\]\\,;:\"]+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
# RFC 2919: a dotted name, which `List-Id` puts between < and >.
_LIST_ID = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")
# User and password as SQLAlchemy cuts them; then a host, several, or none, and a port in digits.
_POSTGRESQL = re.compile(
    r"postgresql\+psycopg://(?:[^:/]*(?::[^@]*)?@)?(?:\[[^\[\]/?@]+\]|[^\[\]/:?@]*)"
    r"(?::(?P<port>[0-9]{1,9}))?(?:/[^?]*)?(?:\?.*)?"
)
# RFC 5321 §4.1.2, which RFC 6376 §3.1 takes for selectors as well.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LABELS = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,60}")
# Headers that we write, that a relay writes, or that would change who is written to.
_RESERVED_HEADER = re.compile(
    r"(?:from|sender|reply-to|to|cc|bcc|subject|date|message-id|in-reply-to|references|comments"
    r"|keywords|precedence|feedback-id|auto-submitted|return-path|received|delivered-to"
    r"|dkim-signature|authentication-results|(?:list|mime|content|resent|arc)-.*)",
    re.IGNORECASE,
)


def fault(said: str, *place: str | int, remedy: str = "") -> PydanticCustomError:
    """A fault to raise in a validator: *place* leads from what it looks at to the setting."""
    context = {"said": said, "place": place, "remedy": remedy}
    return PydanticCustomError("fault", "{said}", context)


def _check_address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError("is not an address; write one such as lettre@example.org")
    return value


def _check_optional_address(value: str) -> str:
    return _check_address(value) if value else value


def _check_filled(value: str) -> str:
    if not value:
        raise ValueError("is empty")
    return value


def _check_list_id(value: str) -> str:
    if not _LIST_ID.fullmatch(value):
        raise ValueError("must be a name with dots, such as ma-lettre.example.org")
    return value


def _check_language(value: str) -> str:
    if value in {"fr", "en"}:
        return value
    from babel.localedata import exists  # only for a language that we do not know by heart

    if not _LANGUAGE.fullmatch(value) or not exists(value.replace("-", "_")):
        raise ValueError("is not a language; write one such as fr, en or pt-BR")
    return value


def _check_clock(value: object) -> object:
    """Refuse the number of seconds that pydantic would take: ``time = 8`` is not eight o'clock."""
    clock = re.fullmatch(r"(\d{1,2}):(\d{2})(?::\d{2})?", value) if isinstance(value, str) else None
    if clock is not None and int(clock[1]) < 24 and int(clock[2]) < 60:
        return value.zfill(5) if isinstance(value, str) else value
    if isinstance(value, dt.time) and value.tzinfo is None:
        return value
    raise ValueError('is not a time of day; write it as "08:00"')


def _check_database(value: str) -> str:
    sqlite = value.startswith("sqlite:///") and value not in {"sqlite:///", "sqlite:///:memory:"}
    if not sqlite and not value.startswith("postgresql+psycopg://"):
        raise ValueError("must begin with sqlite:/// and a file, or postgresql+psycopg://")
    if sqlite and "?" in value:
        raise ValueError("takes no options; take out the ? and what stands behind it")
    if not sqlite:
        _check_postgresql(value)
    return value


def _check_postgresql(value: str) -> None:
    found = _POSTGRESQL.fullmatch(value)
    if not found:
        raise ValueError(
            "is not the URL of a database; write postgresql+psycopg://user@host:5432/name, "
            "with %40 for an @ in a password"
        )
    if found["port"] and not 0 < int(found["port"]) < 65536:
        raise ValueError("Port out of range 1-65535")


def check_port(parts: SplitResult) -> None:
    """Refuse a port that nobody listens on; urllib's ValueError says what is wrong with others."""
    if parts.port == 0:
        raise ValueError("Port out of range 1-65535")


def _check_relay(value: str) -> str:
    """Return a relay's URL without its password, of a scheme that we speak, to a possible name."""
    if value == "embedded:":
        return value
    parts = urlsplit(value)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("must be embedded:, smtp://user@host:587 or smtps://user@host:465")
    if parts.password:
        raise ValueError(
            "must not carry a password; put it in NEWSLETTER_RELAY__PASSWORD "
            "(NEWSLETTER_RELAYS__0__PASSWORD for the first of [[relays]])"
        )
    check_port(parts)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("ends with its port; take out what stands behind it")
    # The name of an account may have a blank in it, written as %20.
    if not unquote(value).isprintable() or " " in value or " " in unquote(parts.hostname):
        raise ValueError("holds a blank or a control character")
    try:
        parts.hostname.encode("idna")  # as the resolver and TLS do, where it is too late to say so
    except UnicodeError:
        raise ValueError(
            f"names no possible host: {parts.hostname[:80]!r}; write one such as "
            "relay.example.org, with 1 to 63 characters between its dots"
        ) from None
    return value


def _check_header_name(value: str) -> str:
    if value and not _HEADER_NAME.fullmatch(value):
        raise ValueError(
            "is not the name of a header; write it without colon, such as Resend-Idempotency-Key"
        )
    if _RESERVED_HEADER.fullmatch(value):
        raise ValueError("has a meaning in every message; write another, such as X-Idempotency-Key")
    return value


def _check_selector(value: str) -> str:
    if value and not _LABELS.fullmatch(value):
        raise ValueError("is not a selector; write letters, digits, hyphens, such as jeudis2026")
    return value


def _check_domain(value: str) -> str:
    if value and not _LABELS.fullmatch(value):
        raise ValueError(
            "is not a domain; write one such as example.org (its xn-- form if it has accents)"
        )
    return value


def check_receiver(name: str, pace: object) -> None:
    """Refuse a domain that no address has; tables below it show that its quotes are missing."""
    whole = name
    while isinstance(pace, Mapping) and pace and all(isinstance(v, Mapping) for v in pace.values()):
        label, pace = next(iter(pace.items()))
        whole += f".{label}"
    if whole != name:
        raise fault("has a dot, and needs quotes", whole, remedy=f"write {_quote(whole)}")
    if not _LABELS.fullmatch(name) or "." not in name:
        remedy = f"write the part behind the @, such as {_quote(_guess_domain(name))}"
        raise fault("is the domain of no address", name, remedy=remedy)


def _quote(domain: str) -> str:
    return f'[relay.domains."{domain}"]'


def _guess_domain(name: str) -> str:
    try:  # addresses are kept in A-labels
        guess = name.lstrip("@*.").rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        guess = ""
    return guess if _LABELS.fullmatch(guess) and "." in guess else "orange.fr"


def _refuse_switch(value: object) -> object:
    """Refuse the 1 that pydantic would take true for."""
    if isinstance(value, bool):
        raise ValueError("must be a number, neither true nor false")  # noqa: TRY004 - pydantic's
    return value


Address = Annotated[str, AfterValidator(_check_address)]
OptionalAddress = Annotated[str, AfterValidator(_check_optional_address)]
Filled = Annotated[str, AfterValidator(_check_filled)]
ListId = Annotated[str, AfterValidator(_check_list_id)]
Language = Annotated[str, AfterValidator(_check_language)]
Clock = Annotated[dt.time, BeforeValidator(_check_clock)]
DatabaseUrl = Annotated[str, AfterValidator(_check_database)]
RelayUrl = Annotated[str, AfterValidator(_check_relay)]
OptionalHeaderName = Annotated[str, AfterValidator(_check_header_name)]
OptionalSelector = Annotated[str, AfterValidator(_check_selector)]
OptionalDomain = Annotated[str, AfterValidator(_check_domain)]
Whole = Annotated[int, BeforeValidator(_refuse_switch)]
Amount = Annotated[float, BeforeValidator(_refuse_switch), AllowInfNan(False)]


class Section(BaseModel):
    """A table of newsletter.toml: no unknown key, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @field_validator("*", mode="after")
    @classmethod
    def _refuse_controls(cls, value: object) -> object:
        # T8: every setting may end in a header; refuse what could split one.
        if isinstance(value, str) and CONTROLS.search(value):
            raise ValueError("holds a control character")
        return value
