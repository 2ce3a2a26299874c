"""Every setting, section by section, with its type, its default and what it must be.

Those of one relay are in ``relays``; what holds between several stands here.

In: plain values. Out: frozen sections; pydantic's ValidationError for what is wrong. Never: a file,
the environment.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from newsletter.config.relays import Relay, is_loopback
from newsletter.config.values import (
    Address,
    Amount,
    Clock,
    DatabaseUrl,
    Filled,
    Language,
    ListId,
    OptionalAddress,
    Section,
    Whole,
    check_port,
    fault,
)

# What the starter writes where an association must put its own words.
PLACEHOLDER = "À COMPLÉTER"


class Publication(Section):
    """Who publishes: the name, the language, the addresses on the web, the legal notice (P13)."""

    name: Filled
    language: Language = "fr"
    timezone: str = "Europe/Paris"
    base_url: str = "http://127.0.0.1:8017"
    list_id: ListId
    publisher: str = ""
    address: str = ""
    director: str = ""
    contact: str = ""
    host: str = ""
    description: str = ""

    @field_validator("timezone")
    @classmethod
    def _know_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("is not a time zone; write one such as Europe/Paris") from error
        return value

    @field_validator("base_url")
    @classmethod
    def _require_https(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" and not (
            parts.scheme == "http" and is_loopback(parts.hostname or "")
        ):
            raise ValueError("must begin with https:// (http:// only on loopback)")
        if not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address such as https://lettre.example.org")
        check_port(parts)
        return value.rstrip("/")

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class Person(Section):
    """Somebody of the team; ``roles`` among editor, approver, operator."""

    name: Filled
    address: Address
    roles: tuple[Literal["editor", "approver", "operator"], ...] = ("editor",)


class Sender(Section):
    """The From, the Reply-To (answered by people), and the domain that takes bounces."""

    name: Filled
    address: Address
    reply_to: OptionalAddress = ""
    # VERP puts a token in the local part: bounces+<token>@domain, or token@domain.
    bounce_address: OptionalAddress = ""


Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Pause(Section):
    """Weeks without an issue, both days included."""

    start: dt.date
    end: dt.date
    reason: str = ""

    @model_validator(mode="after")
    def _end_after_start(self) -> Pause:
        if self.end < self.start:
            raise ValueError("ends before it starts")
        return self


class Schedule(Section):
    """When an issue leaves: a civil time of the publication's zone (DESIGN 5.3)."""

    day: Weekday = "thursday"
    time: Clock = dt.time(8, 0)
    max_lateness_h: Annotated[Amount, Field(gt=0, le=24)] = 3.0
    holidays: Literal["advance", "keep", "postpone", "skip"] = "advance"
    # Country (and subdivision) whose legal holidays count: "FR", "FR-BL"…
    holidays_of: str = "FR"
    pauses: tuple[Pause, ...] = ()


class ApprovalRule(Section):
    """How many people sign an issue, and whether its author may be one of them."""

    needed: Annotated[Whole, Field(ge=1, le=5)] = 1
    author_may_approve: bool = True


class Database(Section):
    """SQLite by default; ``postgresql+psycopg://…`` past one machine."""

    url: DatabaseUrl = "sqlite:///subscribers/newsletter.db"


class Feeds(Section):
    """Limits of the watch (SAFETY F1–F2)."""

    allow_private: tuple[str, ...] = ()  # host:port
    poll_every_h: Annotated[Amount, Field(gt=0)] = 6.0
    connect_timeout_s: Annotated[Amount, Field(gt=0)] = 5.0
    total_timeout_s: Annotated[Amount, Field(gt=0)] = 30.0
    max_wire_bytes: Annotated[Whole, Field(gt=0)] = 10_000_000
    max_body_bytes: Annotated[Whole, Field(gt=0)] = 20_000_000


class Web(Section):
    """The public pages."""

    trusted_proxies: tuple[str, ...] = ()
    sign_ups_per_hour: Annotated[Whole, Field(ge=1)] = 200


class Watch(Section):
    """Metrics and health on loopback; 0 keeps them off."""

    port: Annotated[Whole, Field(ge=0, le=65535)] = 0


class Term(Section):
    """One value of a taxonomy: its slug, what people read, and how it is shown."""

    slug: str
    label: str
    colour: str = ""
    sign: str = ""


class Taxonomy(Section):
    """The publication's own vocabulary; the engine knows none of it."""

    objectives: tuple[Term, ...] = ()
    kinds: tuple[Term, ...] = ()
    profiles: tuple[Term, ...] = ()
    territories: tuple[Term, ...] = ()


class Segment(Section):
    """A named part of the audience: every list that is not empty must match."""

    profiles: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()


class Retention(Section):
    """How long we keep whom; purging is off by default and reports who would go (P10)."""

    purge: bool = False
    pending_days: Annotated[Whole, Field(ge=1)] = 30
    renewal_months: Annotated[Whole, Field(ge=1)] = 35
    expiry_months: Annotated[Whole, Field(ge=1)] = 37
    event_days: Annotated[Whole, Field(ge=1)] = 30


# RFC 5321 §4.5.3.1.1 gives 64 octets; a token takes 41, and more as runs are counted: 48 at most.
MAX_BOUNCE_LOCAL = 64 - 1 - 48
# Read from [relay] alone: how a message is made, and how the one dispatch claims its readers.
_OF_ALL_RELAYS = ("verp", "window", "idempotency_header", "dkim")
_WRITE_URL = 'write url = "smtp://user@host:587"'
_ALONE = "embedded: keeps its share of the readers in var/mailbox, and bears no relay beside it"


class Settings(Section):
    """Everything a publication decides; ``root`` is the folder of its newsletter.toml."""

    root: Path
    publication: Publication
    people: tuple[Person, ...] = ()
    sender: Sender
    schedule: Schedule = Schedule()
    approval: ApprovalRule = ApprovalRule()
    relay: Relay = Relay()
    # More relays beside the first, each with its weight; failover when one is down.
    relays: tuple[Relay, ...] = ()
    database: Database = Database()
    feeds: Feeds = Feeds()
    web: Web = Web()
    watch: Watch = Watch()
    segments: Mapping[str, Segment] = {}
    taxonomy: Taxonomy = Taxonomy()
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _leave_room_for_tokens(self) -> Settings:
        local = self.sender.bounce_address.rpartition("@")[0]
        if self.relay.verp and len(local) > MAX_BOUNCE_LOCAL:
            said = "leaves no room for a token before its @"
            remedy = f"write at most {MAX_BOUNCE_LOCAL} characters there, or relay.verp = false"
            raise fault(said, "sender", "bounce_address", remedy=remedy)
        return self

    @model_validator(mode="after")
    def _tell_relays_apart(self) -> Settings:
        """A relay left out, or embedded, would keep its share of the readers on this machine."""
        if not self.relays:
            return self
        for place, relay in enumerate(self.relays):
            if "url" not in relay.model_fields_set:
                raise fault("is missing", "relays", place, "url", remedy=_WRITE_URL)
            if relay.is_embedded:
                raise fault(_ALONE, "relays", place, "url", remedy=f"{_WRITE_URL}, or take it out")
        if "url" not in self.relay.model_fields_set:
            said = "[relay] has no url, and its share of the readers would stay in var/mailbox"
            raise fault(said, "relays", remedy=f"in [relay], {_WRITE_URL}")
        if self.relay.is_embedded:
            raise fault(_ALONE, "relay", "url", remedy=f"{_WRITE_URL}, or take [[relays]] out")
        return self

    @model_validator(mode="after")
    def _refuse_what_holds_for_all(self) -> Settings:
        for place, relay in enumerate(self.relays):
            for name in _OF_ALL_RELAYS:
                if name in relay.model_fields_set:
                    section = "relay.dkim" if name == "dkim" else "relay"
                    remedy = f"set it in [{section}]: it holds for all relays"
                    raise fault("is not a relay's own", "relays", place, name, remedy=remedy)
        return self

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        if not self.sender.reply_to:
            object.__setattr__(
                self, "sender", self.sender.model_copy(update={"reply_to": self.sender.address})
            )
        # What a receiver bears, it bears from each relay.
        shared = {"domains": self.relay.domains}
        relays = tuple(
            one if "domains" in one.model_fields_set else one.model_copy(update=shared)
            for one in self.relays
        )
        object.__setattr__(self, "relays", relays)
        return self

    @property
    def all_loopback(self) -> bool:
        """True when no relay is beyond this machine: one that is reaches real people."""
        return all(relay.is_loopback for relay in (self.relay, *self.relays))

    @property
    def issues_dir(self) -> Path:
        return self.root / "issues"

    @property
    def templates_dir(self) -> Path:
        return self.root / "templates"

    @property
    def var_dir(self) -> Path:
        return self.root / "var"

    @property
    def database_url(self) -> str:
        """The database's URL, a relative SQLite path made absolute under ``root``."""
        prefix = "sqlite:///"
        url = self.database.url
        if url.startswith(prefix) and not url.startswith(prefix + "/"):
            return f"{prefix}{self.root / url.removeprefix(prefix)}"
        return url

    @property
    def sender_header(self) -> str:
        """The sender as people read it: ``Name <address>`` (encoded when the message is built)."""
        return f"{self.sender.name} <{self.sender.address}>"

    def people_with(self, role: str) -> tuple[Person, ...]:
        return tuple(person for person in self.people if role in person.roles)
