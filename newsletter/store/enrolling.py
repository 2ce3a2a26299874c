"""People who come, and what a list knows better: the plan of an import, done.

In: an open connection, a plan or one entry, randomness. Out: rows, fingerprints and events, all in
the caller's transaction. Never: a person without an event that says where they come from (P6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from newsletter.audience.consent import Act, NewEvent
from newsletter.audience.entries import Entry, Reading, Statement
from newsletter.audience.importing import Fate, ImportPlan, Kind, Known, make_plan
from newsletter.audience.sheets import Sheet
from newsletter.audience.suppression import Reason, fingerprint
from newsletter.config import Keys
from newsletter.model import Frequency, SubscriberId
from newsletter.store import audience, consent, database, leaving, suppression
from newsletter.store.schema import subscriber

# Written on every row of an import, so that the proof leads back to the file.
_COPIED = (
    "state",
    "soft_bounces",
    "first_name",
    "last_name",
    "organisation",
    "profile",
    "region",
    "department",
    "depth",
    "objectives",
    "paused_from",
    "paused_until",
    "basis",
    "source",
    "confirmed_at",
)


def plan(
    connection: Connection, keys: Keys, reading: Reading, sheet: Sheet, statement: Statement
) -> ImportPlan:
    """Look up everybody in a file, and decide what becomes of them."""
    address_keys = [entry.address.key for entry in reading.entries]
    people = audience.find_many(connection, address_keys)
    chose = consent.find_choosers(connection, [person.id for person in people.values()])
    marks = {fingerprint(keys, key): key for key in address_keys}
    return make_plan(
        reading,
        sheet,
        statement,
        known={k: Known(subscriber=p, chose=p.id in chose) for k, p in people.items()},
        suppressed={marks[mark] for mark in suppression.find(connection, list(marks))},
    )


def apply(
    connection: Connection,
    keys: Keys,
    done: ImportPlan,
    *,
    now: datetime,
    random_bytes: Callable[[int], bytes],
) -> None:
    """Do what a plan says, in this transaction."""
    entries = [fate.entry for fate in done.of(Kind.ADDED)]
    enroll(
        connection,
        keys,
        entries,
        act=Act.IMPORTED,
        statement=done.statement,
        now=now,
        random_bytes=random_bytes,
    )
    _correct(connection, keys, done, now)
    _oppose(connection, keys, done, now)


def enroll(
    connection: Connection,
    keys: Keys,
    entries: Sequence[Entry],
    *,
    act: Act,
    statement: Statement,
    now: datetime,
    random_bytes: Callable[[int], bytes],
) -> list[SubscriberId]:
    """Insert new people, each with a random id, a random key and their first event."""
    rows = [_to_row(entry, statement, now, random_bytes) for entry in entries]
    audience.add_many(connection, rows)
    events = [
        NewEvent(
            subscriber_id=row["id"],
            key=row["consent_key"],
            act=act,
            detail=_tell(entry, statement),
            notice_version=entry.notice_version,
        )
        for entry, row in zip(entries, rows, strict=True)
    ]
    consent.record(connection, keys, events, now)
    return [row["id"] for row in rows]


def _to_row(
    entry: Entry, statement: Statement, now: datetime, random_bytes: Callable[[int], bytes]
) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in _COPIED} | {
        "id": new_id(random_bytes),
        "address": entry.address.text,
        "address_key": entry.address.key,
        "frequency": entry.frequency or Frequency.WEEKLY,
        "evidence": _cite(entry, statement),
        "consent_key": random_bytes(32),
        "created_at": entry.consented_at or now,
        # P10: what a person did; being put on a list is no act of theirs, but it starts the clock.
        "last_act_at": entry.last_act_at or entry.confirmed_at or entry.consented_at or now,
    }


def new_id(random_bytes: Callable[[int], bytes]) -> SubscriberId:
    """A random id of 63 bits, never 0: nobody can count our readers by their links."""
    return SubscriberId(int.from_bytes(random_bytes(8)) >> 1 or 1)


def _cite(entry: Entry, statement: Statement) -> str:
    source = f"{statement.file}:{entry.line} sha256:{statement.sha256[:16]}"
    return " · ".join(filter(None, (entry.evidence, source if statement.file else "")))


def _tell(entry: Entry, statement: Statement) -> dict[str, object]:
    """What an event keeps as proof: basis, evidence, and the file, its hash, who and which line."""
    instants = {
        name: when.isoformat()
        for name in ("consented_at", "confirmed_at")
        if (when := getattr(entry, name))
    }
    told = {
        "basis": entry.basis,
        "evidence": entry.evidence,
        "source": entry.source,
        "by": statement.by,
        "file": statement.file,
        "sha256": statement.sha256,
        "line": entry.line if statement.file else None,
        **instants,
    }
    return {name: value for name, value in told.items() if value}


def _correct(connection: Connection, keys: Keys, done: ImportPlan, now: datetime) -> None:
    changes = {_id(fate): fate.values for fate in done.of(Kind.UPDATED)}
    audience.change_many(connection, changes)
    events = []
    person_keys = _read_keys(connection, list(changes))
    for fate in done.of(Kind.UPDATED):
        told = _tell(fate.entry, done.statement) | {"columns": sorted(fate.values)}
        key = person_keys[_id(fate)]
        events.append(NewEvent(subscriber_id=_id(fate), key=key, act=Act.CHANGED, detail=told))
    consent.record(connection, keys, events, now)


def _oppose(connection: Connection, keys: Keys, done: ImportPlan, now: datetime) -> None:
    """Let go those whom the file says left; of strangers keep the fingerprint alone (P11)."""
    strangers = []
    for fate in done.of(Kind.OPPOSED):
        entry, reason = fate.entry, Reason(fate.entry.reason)
        told = _tell(entry, done.statement)
        if fate.subscriber is None:
            strangers.append((fingerprint(keys, entry.address.key), reason))
        elif reason is Reason.UNSUBSCRIBED:
            leaving.unsubscribe(connection, keys, fate.subscriber.id, detail=told, now=now)
        else:
            leaving.suppress(
                connection, keys, fate.subscriber.id, reason=reason, detail=told, now=now
            )
    suppression.add(connection, strangers, now=now)


def _id(fate: Fate) -> SubscriberId:
    assert fate.subscriber is not None  # make_plan gives one to UPDATED
    return fate.subscriber.id


def _read_keys(connection: Connection, ids: Sequence[SubscriberId]) -> Mapping[int, bytes]:
    found: dict[int, bytes] = {}
    for chunk in database.in_chunks(ids):
        query = select(subscriber.c.id, subscriber.c.consent_key).where(subscriber.c.id.in_(chunk))
        found |= {row.id: row.consent_key for row in connection.execute(query)}
    return found
