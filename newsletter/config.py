"""newsletter.toml and the environment → Settings; keys from the environment or ``var/keys``.

In: one TOML file, ``NEWSLETTER_*`` variables (``NEWSLETTER_RELAY__URL``), a 0600 key file.
Out: a validated, frozen ``Settings``; relative paths in it are relative to the file's folder.
Never: a secret in the TOML file that the world can read, an unknown setting accepted in silence.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from newsletter.errors import ConfigError

FILE_NAME = "newsletter.toml"
KEYS_VARIABLE = "NEWSLETTER_KEYS"
ENVIRONMENT_PREFIX = "NEWSLETTER_"
# Variables of ours that are not settings.
NOT_SETTINGS = {KEYS_VARIABLE, "NEWSLETTER_CRASH_AT", "NEWSLETTER_CONFIG"}
# What the starter writes where an association must put its own words.
PLACEHOLDER = "À COMPLÉTER"
CONTROLS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @field_validator("*", mode="after")
    @classmethod
    def _refuse_controls(cls, value: object) -> object:
        # T8: every setting may end in a header; refuse what could split one.
        if isinstance(value, str) and CONTROLS.search(value):
            raise ValueError("holds a control character")
        return value


class Publication(_Section):
    """Who publishes: the name, the language, the addresses on the web, the legal notice (P13)."""

    name: str
    language: str = "fr"
    timezone: str = "Europe/Paris"
    base_url: str = "http://127.0.0.1:8017"
    list_id: str
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
        return value.rstrip("/")

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class Person(_Section):
    """Somebody of the team; ``roles`` among editor, approver, operator."""

    name: str
    address: str
    roles: tuple[Literal["editor", "approver", "operator"], ...] = ("editor",)


class Sender(_Section):
    """The From, the Reply-To (answered by people), and the domain that takes bounces."""

    name: str
    address: str
    reply_to: str = ""
    # VERP puts a token in the local part: bounces+<token>@domain, or token@domain.
    bounce_address: str = ""


Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Pause(_Section):
    """Weeks without an issue, both days included."""

    start: dt.date
    end: dt.date
    reason: str = ""


class Schedule(_Section):
    """When an issue leaves: a civil time of the publication's zone (DESIGN 5.3)."""

    day: Weekday = "thursday"
    time: dt.time = dt.time(8, 0)
    max_lateness_h: Annotated[float, Field(gt=0, le=24)] = 3.0
    holidays: Literal["advance", "keep", "postpone", "skip"] = "advance"
    # Country (and subdivision) whose legal holidays count: "FR", "FR-BL"…
    holidays_of: str = "FR"
    pauses: tuple[Pause, ...] = ()


class ApprovalRule(_Section):
    """How many people sign an issue, and whether its author may be one of them."""

    needed: Annotated[int, Field(ge=1, le=5)] = 1
    author_may_approve: bool = True


class Dkim(_Section):
    """Where our signing keys are; off when ``selector`` is empty (most relays sign themselves)."""

    domain: str = ""
    selector: str = ""
    key_file: str = ""
    ed25519_selector: str = ""
    ed25519_key_file: str = ""


class DomainPace(_Section):
    """What one receiving domain bears (D4: Orange takes 2 connections and 100 messages each)."""

    connections: int | None = None
    max_messages_per_connection: int | None = None
    rate_per_s: float | None = None


class Relay(_Section):
    """Where messages go, and how fast."""

    url: str = "embedded:"
    password: str = ""
    connections: Annotated[int, Field(ge=1, le=64)] = 4
    rate_per_s: Annotated[float, Field(gt=0)] | None = None
    rate_per_hour: Annotated[float, Field(gt=0)] | None = None
    max_messages_per_connection: Annotated[int, Field(ge=1)] = 100
    require_tls: bool | None = None
    auth: Literal["auto", "plain", "login", "xoauth2"] = "auto"
    chunking: Literal["auto", "off"] = "auto"
    verp: bool = True
    # 0: the connections waiting at their dot share one commit; N: claim N rows ahead.
    window: Annotated[int, Field(ge=0, le=1024)] | None = None
    idempotency_header: str = ""
    weight: Annotated[int, Field(ge=1)] = 1
    domains: Mapping[str, DomainPace] = {}
    dkim: Dkim = Dkim()

    @field_validator("url")
    @classmethod
    def _know_scheme(cls, value: str) -> str:
        if value == "embedded:":
            return value
        parts = urlsplit(value)
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise ValueError("must be embedded:, smtp://user@host:587 or smtps://user@host:465")
        if parts.password:
            raise ValueError("must not carry a password; put it in NEWSLETTER_RELAY__PASSWORD")
        return value

    @property
    def is_embedded(self) -> bool:
        return self.url == "embedded:"

    @property
    def host(self) -> str:
        return "127.0.0.1" if self.is_embedded else urlsplit(self.url).hostname or ""

    @property
    def is_loopback(self) -> bool:
        return self.is_embedded or is_loopback(self.host)

    @property
    def tls_required(self) -> bool:
        return (not self.is_loopback) if self.require_tls is None else self.require_tls


class Database(_Section):
    """SQLite by default; ``postgresql+psycopg://…`` past one machine."""

    url: str = "sqlite:///subscribers/newsletter.db"


class Feeds(_Section):
    """Limits of the watch (SAFETY F1–F2)."""

    allow_private: tuple[str, ...] = ()  # host:port
    poll_every_h: Annotated[float, Field(gt=0)] = 6.0
    connect_timeout_s: Annotated[float, Field(gt=0)] = 5.0
    total_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    max_wire_bytes: Annotated[int, Field(gt=0)] = 10_000_000
    max_body_bytes: Annotated[int, Field(gt=0)] = 20_000_000


class Web(_Section):
    """The public pages."""

    trusted_proxies: tuple[str, ...] = ()
    sign_ups_per_hour: Annotated[int, Field(ge=1)] = 200


class Watch(_Section):
    """Metrics and health on loopback; 0 keeps them off."""

    port: Annotated[int, Field(ge=0, le=65535)] = 0


class Term(_Section):
    """One value of a taxonomy: its slug, what people read, and how it is shown."""

    slug: str
    label: str
    colour: str = ""
    sign: str = ""


class Taxonomy(_Section):
    """The publication's own vocabulary; the engine knows none of it."""

    objectives: tuple[Term, ...] = ()
    kinds: tuple[Term, ...] = ()
    profiles: tuple[Term, ...] = ()
    territories: tuple[Term, ...] = ()


class Segment(_Section):
    """A named part of the audience: every list that is not empty must match."""

    profiles: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()


class Retention(_Section):
    """How long we keep whom; purging is off by default and reports who would go (P10)."""

    purge: bool = False
    pending_days: Annotated[int, Field(ge=1)] = 30
    renewal_months: Annotated[int, Field(ge=1)] = 35
    expiry_months: Annotated[int, Field(ge=1)] = 37
    event_days: Annotated[int, Field(ge=1)] = 30


class Settings(_Section):
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
    def _complete(self) -> Settings:
        if not self.sender.reply_to:
            object.__setattr__(
                self, "sender", self.sender.model_copy(update={"reply_to": self.sender.address})
            )
        return self

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


def is_loopback(host: str) -> bool:
    """True for the names and addresses that never leave this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: 127.evil.example is somewhere else
        return False


def find_file(start: Path) -> Path:
    """Return the nearest ``newsletter.toml`` in *start* or above; raise ConfigError without."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(
        f"no {FILE_NAME} in {start} or above",
        remedy="go to a publication's folder, give --config PATH, or make one: newsletter init DIR",
    )


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of *path* (default: the nearest file), the environment winning.

    Raise ConfigError with the file, the line and the remedy of the first thing that is wrong.
    """
    environ = os.environ if environ is None else environ
    if path is None:
        path = find_file(Path.cwd())
    elif path.is_dir():
        path = path / FILE_NAME
    try:
        source = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("no such file", path=str(path), remedy="check --config") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            "is not UTF-8", path=str(path), line=_line_of_byte(error), remedy="save it as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from None
    data = _parse_toml(source, path)
    _merge_environment(data, environ)
    try:
        return Settings(root=path.resolve().parent, **data)
    except ValidationError as error:
        raise _explain(error, source, path, environ) from None


def _parse_toml(source: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(found.group(1)) if found else source.count("\n") + 1
        said = re.sub(r"\s*\(at .*\)", "", str(error))
        raise ConfigError(
            f"is not valid TOML: {said}", path=str(path), line=line, remedy="mend that line"
        ) from None


def _merge_environment(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put the values of NEWSLETTER_SECTION__KEY variables into *data*."""
    for name, value in environ.items():
        ours = name.startswith(ENVIRONMENT_PREFIX) and name not in NOT_SETTINGS
        if not ours or "__" not in name:
            continue
        *sections, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        place = data
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value


def _explain(
    error: ValidationError, source: str, path: Path, environ: Mapping[str, str]
) -> ConfigError:
    first = error.errors()[0]
    parts = [str(part) for part in first["loc"]]
    key = ".".join(parts)
    line = _line_of_key(source, parts)
    variable = ENVIRONMENT_PREFIX + "__".join(parts).upper()
    where = variable if line is None and variable in environ else str(path)
    if first["type"] == "extra_forbidden":
        return ConfigError(
            f"unknown setting {key}", key=key, path=where, line=line, remedy=_nearest(parts)
        )
    said = first["msg"].removeprefix("Value error, ")
    return ConfigError(
        f"{key}: {said}", key=key, path=where, line=line, remedy="see docs/settings.md"
    )


def _nearest(parts: list[str]) -> str:
    known: Any = Settings
    for part in parts[:-1]:
        known = known.model_fields[part].annotation if hasattr(known, "model_fields") else known
    names = list(getattr(known, "model_fields", {}))
    close = get_close_matches(parts[-1], names, n=1)
    return f"did you mean {close[0]}?" if close else "take it out; see docs/settings.md"


def _line_of_key(source: str, parts: list[str]) -> int | None:
    """Find the line that sets a key: its ``[section]`` first, then ``key =`` below it."""
    names = [part for part in parts if not part.isdigit()]
    section, wanted, found = "", names[-1], None
    for number, line in enumerate(source.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if header:
            section = header.group(1)
            if section == ".".join(names):
                return number
        elif section == ".".join(names[:-1]) and re.match(
            rf"\s*\"?{re.escape(wanted)}\"?\s*=", line
        ):
            return number
        elif (
            found is None
            and names[0] in section
            and re.search(rf"\b{re.escape(wanted)}\b\s*=", line)
        ):
            found = number
    return found


def _line_of_byte(error: UnicodeDecodeError) -> int:
    return error.object[: error.start].count(b"\n") + 1


# --- keys ----------------------------------------------------------------------------------------


class Keys(BaseModel):
    """The secrets of a publication.

    ``versions`` maps a version (1, 2, …) to a 32-byte key for tokens; the highest signs, the others
    still open old links. ``pepper`` never rotates: fingerprints of erased addresses depend on it.
    """

    model_config = ConfigDict(frozen=True)

    versions: Mapping[int, bytes]
    pepper: bytes

    @property
    def current(self) -> int:
        return max(self.versions)

    def __repr__(self) -> str:
        return f"Keys(versions={sorted(self.versions)})"

    __str__ = __repr__


def write_keys(path: Path) -> None:
    """Create a 0600 key file with fresh random keys. Raise FileExistsError when there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write("# Keep a copy of this file in a safe place: without it no sent link works.\n")
        file.write(f"1:{secrets.token_hex(32)}\npepper:{secrets.token_hex(32)}\n")


def load_keys(settings: Settings, environ: Mapping[str, str] | None = None) -> Keys:
    """Read the keys from NEWSLETTER_KEYS (``1:hex,pepper:hex``) or ``var/keys`` (0600).

    Raise ConfigError when there are none, when others can read the file, or when one is not a key.
    """
    environ = os.environ if environ is None else environ
    if text := environ.get(KEYS_VARIABLE):
        return _parse_keys(text.replace(",", "\n"), KEYS_VARIABLE)
    path = settings.var_dir / "keys"
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise ConfigError(
            "there are no keys",
            key="keys",
            path=str(path),
            remedy="bring back your copy of them; only if there never were any: newsletter init .",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", key="keys", path=str(path)) from None
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(
            "others can read the keys", key="keys", path=str(path), remedy=f"chmod 600 {path}"
        )
    return _parse_keys(text, str(path))


def _parse_keys(text: str, where: str) -> Keys:
    versions: dict[int, bytes] = {}
    pepper = b""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, value = line.strip().partition(":")
        try:
            secret = bytes.fromhex(value)
        except ValueError:
            secret = b""
        if len(secret) < 32 or not (name == "pepper" or name.isdigit()):
            raise ConfigError(
                "is not a key: version:64 hexadecimal digits", key="keys", path=where, line=number
            )
        if name == "pepper":
            pepper = secret
        else:
            versions[int(name)] = secret
    if not versions or not pepper:
        raise ConfigError("needs a version and a pepper", key="keys", path=where)
    return Keys(versions=versions, pepper=pepper)
