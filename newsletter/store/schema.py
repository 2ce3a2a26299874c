"""The tables. Migrations in ``migrations/`` bring a database to this shape.

Instants are aware UTC datetimes in Python; ``Instant`` keeps them as sortable text on SQLite and
as timestamptz on PostgreSQL. States are text with a CHECK. JSON holds small lists nobody queries.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from newsletter.model import DeliveryState, Frequency, LetterState, RunState, SubscriberState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime; refuses a naive one. SQLite keeps ``2026-11-26T07:00:00.000000Z``."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}: pass an aware one")
        value = value.astimezone(UTC)
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return value.astimezone(UTC)  # type: ignore[no-any-return]  # the driver gives a datetime


def _one_of(column: str, states: type[StrEnum]) -> CheckConstraint:
    values = ", ".join(f"'{state.value}'" for state in states)
    return CheckConstraint(f"{column} IN ({values})", name=column)


# Autoincrementing keys: SQLite only does it for INTEGER.
_Serial = BigInteger().with_variant(Integer(), "sqlite")

# --- this database itself ------------------------------------------------------------------------

# One row. A copy or a restored backup is found out by comparing it with var/instance (DESIGN 5.7).
instance = Table(
    "instance",
    metadata,
    Column("id", String(32), primary_key=True),
    # Raised by every tick and around every dispatch: an older one than the file's was restored.
    Column("generation", BigInteger, nullable=False, server_default="0"),
    # SQLite's: no run gets this id or a lower one, for a database that was lost may have given it.
    Column("spent_run_id", BigInteger, nullable=False, server_default="0"),
    Column("created_at", Instant, nullable=False),
    Column("heartbeat_at", Instant),  # written by every tick
)

# When a periodic chore of the tick was last done: "feeds", "retention".
chore = Table(
    "chore",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("done_at", Instant, nullable=False),
)

# --- people --------------------------------------------------------------------------------------

subscriber = Table(
    "subscriber",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # random, 63 bits
    Column("address", Text),  # NULL once erased
    Column("address_key", Text, unique=True),  # case folded, NFC: two spellings are one person
    Column("state", String(16), nullable=False),
    Column("first_name", Text, nullable=False, server_default=""),
    Column("last_name", Text, nullable=False, server_default=""),
    Column("organisation", Text, nullable=False, server_default=""),
    Column("profile", Text, nullable=False, server_default=""),
    Column("region", Text, nullable=False, server_default=""),
    Column("department", Text, nullable=False, server_default=""),
    Column("frequency", String(8), nullable=False, server_default="weekly"),
    Column("depth", SmallInteger),  # minutes: 2, 4, 12
    Column("objectives", Text, nullable=False, server_default=""),  # ",slug,slug,"
    Column("paused_from", Date),  # NULL: the pause has begun
    Column("paused_until", Date),  # the last day of the pause
    Column("basis", Text, nullable=False, server_default=""),
    Column("evidence", Text, nullable=False, server_default=""),
    Column("source", Text, nullable=False, server_default=""),
    Column("consent_key", LargeBinary),  # per person, erased with them (P6)
    Column("soft_bounces", Integer, nullable=False, server_default="0"),
    Column("soft_bounce_since", Instant),
    Column("created_at", Instant, nullable=False),
    Column("confirmed_at", Instant),
    Column("last_act_at", Instant),
    _one_of("state", SubscriberState),
    _one_of("frequency", Frequency),
    Index("ix_subscriber_state", "state"),
)

# Append-only proof of who agreed to what, when and how; mac chains over the previous one (P6).
consent_event = Table(
    "consent_event",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("subscriber_id", BigInteger, nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("detail", JSON),  # NULL once erased
    Column("notice_version", Text, nullable=False, server_default=""),
    Column("content_mac", String(64), nullable=False),  # HMAC(person's key, event)
    Column("chain_mac", String(64), nullable=False),  # over the previous chain_mac and content_mac
)

# Addresses never to be written to again, as fingerprints under the pepper (P11).
suppression = Table(
    "suppression",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("reason", String(32), nullable=False),  # unsubscribed, bounce, complaint, erased
    Column("at", Instant, nullable=False),
)

# Random tokens, kept as SHA-256: confirmation, renewal.
token = Table(
    "token",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("subscriber_id", BigInteger, nullable=False, index=True),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
)

# --- examples ------------------------------------------------------------------------------------

feed = Table(
    "feed",
    metadata,
    Column("url", Text, primary_key=True),  # as written in feeds.opml
    Column("title", Text, nullable=False, server_default=""),
    Column("current_url", Text, nullable=False),  # after settled permanent redirects (F7)
    Column("redirect_url", Text),
    Column("redirect_days", JSON),  # the days on which the same permanent redirect was seen
    Column("etag", Text),
    Column("last_modified", Text),
    Column("validators_for", Text),  # the final address that gave etag and last_modified (F7)
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failing_since", Instant),
    Column("last_error", Text, nullable=False, server_default=""),
    Column("last_ok_at", Instant),
    Column("next_poll_at", Instant),
)

example = Table(
    "example",
    metadata,
    Column("id", Text, primary_key=True),  # short, readable, stable: editors write it
    Column("feed_url", Text, nullable=False, index=True),
    Column("source", Text, nullable=False, server_default=""),  # the feed's title
    Column("title", Text, nullable=False),
    Column("summary", Text, nullable=False, server_default=""),
    Column("link", Text, nullable=False, server_default=""),
    Column("territory", Text, nullable=False, server_default=""),
    Column("scale", Text, nullable=False, server_default=""),
    Column("region", Text, nullable=False, server_default=""),
    Column("actors", JSON, nullable=False),
    Column("objective", Text, nullable=False, server_default=""),
    Column("sdgs", JSON, nullable=False),
    Column("rights", Text, nullable=False, server_default=""),
    Column("image_url", Text, nullable=False, server_default=""),
    Column("published_at", Instant),
    Column("first_seen_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("withdrawn_at", Instant),
    Column("content_hash", String(64), nullable=False),
    Column("lead", Text, nullable=False, server_default=""),  # identity of the entry it follows
    Column("similar_key", Text, nullable=False, server_default="", index=True),  # F5, second index
    Column("words", Text, nullable=False, server_default=""),  # without accents, for searching
)

# Every way an example was met: the same one may come under several guids and feeds.
example_identity = Table(
    "example_identity",
    metadata,
    Column("identity", Text, primary_key=True),  # "guid:<feed>:<guid>", "link:<canonical>", …
    Column("example_id", Text, ForeignKey("example.id", ondelete="CASCADE"), nullable=False),
)

# Written when the run starts: an example once featured is never picked again.
featured = Table(
    "featured",
    metadata,
    Column("example_id", Text, primary_key=True),
    Column("issue_id", String(10), primary_key=True),
    Column("at", Instant, nullable=False),
)

# --- editions ------------------------------------------------------------------------------------

# Pictures by content: name is "<sha256>.<ext>", served as media/<name>.
picture = Table(
    "picture",
    metadata,
    Column("name", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
)

edition = Table(
    "edition",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("issue_id", String(10), nullable=False, index=True),
    Column("number", Integer, nullable=False, server_default="0"),
    Column("subject", Text, nullable=False),
    Column("preheader", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("web", Text, nullable=False),
    Column("audience_rule", Text, nullable=False),
    Column("picks", JSON, nullable=False),
    Column("pictures", JSON, nullable=False),  # names
    Column("search", JSON),  # what the archive needs: theme, objectives, territories…
    Column("author", Text, nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
)

approval = Table(
    "approval",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("issue_id", String(10), nullable=False, index=True),
    Column("digest", String(64), nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("withdrawn_at", Instant),
)

# [BAT vN]: N is the rank of a digest among those proofed (DESIGN 7).
proof = Table(
    "proof",
    metadata,
    Column("issue_id", String(10), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    UniqueConstraint("issue_id", "number"),
)

# Dated corrections of the web copy; the original edition stays.
correction = Table(
    "correction",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("issue_id", String(10), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("web", Text, nullable=False),
)

# --- the run and its ledger ----------------------------------------------------------------------

run = Table(
    "run",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("issue_id", String(10), nullable=False),
    Column("kind", String(24), nullable=False, server_default="issue"),
    Column("slot_at", Instant, nullable=False),
    Column("digest", String(64)),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("stopped", Boolean, nullable=False, server_default=text("false")),
    # The lease: who dispatches, until when, and the fence every write of theirs carries (S4).
    Column("owner", Text),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("lease_until", Instant),
    Column("audience", Integer, nullable=False, server_default="0"),
    # Of the key that signed when it started, for every repeat; NULL: begun by an older version.
    Column("key_version", Integer),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("reopened_at", Instant),  # by resolve: the 24 h begin anew
    Column("finished_at", Instant),
    _one_of("state", RunState),
    UniqueConstraint("issue_id", "kind"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("subscriber_id", BigInteger, nullable=False),
    Column("run_id", BigInteger, ForeignKey("run.id"), nullable=False),
    Column("state", String(12), nullable=False, server_default="pending"),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    Column("drops", SmallInteger, nullable=False, server_default="0"),  # uncharged faults in a row
    Column("not_before", Instant),  # of a deferred row
    Column("address", Text),  # read at claim, kept until settled
    Column("owner", Text),  # the dispatcher that holds it in sending
    Column("fence", Integer),
    Column("claimed_at", Instant),
    Column("settled_at", Instant),
    Column("reason", Text, nullable=False, server_default=""),
    Column("reply", Text, nullable=False, server_default=""),
    Column("bounced_at", Instant),
    Column("complained_at", Instant),
    Column("left_at", Instant),  # resolve --leave
    _one_of("state", DeliveryState),
    # This order, so that leaving in mid-run seeks instead of scanning (RECIPES 9).
    PrimaryKeyConstraint("subscriber_id", "run_id", name="pk_delivery"),
    Index("ix_delivery_run_state", "run_id", "state", "subscriber_id"),
    sqlite_with_rowid=False,  # one tree less to write at each transition
)

# Append-only facts, with the raw text: replies, bounces, complaints, departures.
event = Table(
    "event",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(24), nullable=False),
    Column("run_id", BigInteger),
    Column("subscriber_id", BigInteger, index=True),
    Column("detail", Text, nullable=False, server_default=""),
    Column("raw", Text, nullable=False, server_default=""),
)

# --- letters -------------------------------------------------------------------------------------

# Mail to one person, queued in the transaction that causes it, sent by the tick.
letter = Table(
    "letter",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("kind", String(24), nullable=False),  # confirmation, welcome, held, reminder, proof…
    Column("key", Text, nullable=False),
    Column("subscriber_id", BigInteger, index=True),
    Column("address", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("html", Text, nullable=False, server_default=""),
    Column("state", String(12), nullable=False, server_default="queued"),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    Column("not_before", Instant),
    Column("reply", Text, nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    Column("sent_at", Instant),
    _one_of("state", LetterState),
    UniqueConstraint("kind", "key", "address"),
)
