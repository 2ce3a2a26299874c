"""The proof of consent: the table ``consent_event``, only ever added to (P6).

In: an open connection, events. Out: what was recorded, and the first event that does not hold.
Never: an UPDATE of an event, except the one that erases the details of an erased person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, func, insert, null, select, update

from newsletter.audience import consent
from newsletter.audience.consent import Act, ConsentEvent, NewEvent
from newsletter.config import Keys
from newsletter.model import SubscriberId
from newsletter.store import audience, database
from newsletter.store.schema import consent_event, subscriber

# Any constant will do, as long as nobody else locks it: "newsletter consent".
_LOCK = 0x6E6C5F636F6E73


def record(connection: Connection, keys: Keys, events: Sequence[NewEvent], now: datetime) -> None:
    """Add events to the end of the chain, in this order."""
    if not events:
        return
    # Two writers at the end of one chain would fork it.
    database.take_turns(connection, func.pg_advisory_xact_lock(_LOCK))
    head = read_head(connection)
    rows = []
    for event in events:
        content_mac, head = consent.seal(event, now, keys=keys, head=head)
        rows.append(
            {
                "subscriber_id": event.subscriber_id,
                "at": now,
                "kind": event.act,
                "detail": dict(event.detail),
                "notice_version": event.notice_version,
                "content_mac": content_mac,
                "chain_mac": head,
            }
        )
    for chunk in database.in_chunks(rows):
        connection.execute(insert(consent_event), chunk)


def note(
    connection: Connection,
    keys: Keys,
    subscriber_id: SubscriberId,
    *,
    act: Act,
    detail: Mapping[str, object],
    now: datetime,
    notice_version: str = "",
) -> None:
    """Add one event of a person who is on the list."""
    key = audience.get_consent_key(connection, subscriber_id)
    noted = NewEvent(
        subscriber_id=subscriber_id,
        key=key,
        act=act,
        detail=detail,
        notice_version=notice_version,
    )
    record(connection, keys, [noted], now)


def read_head(connection: Connection) -> str:
    """The last code of the chain: noted elsewhere, it shows whether the end was cut off."""
    query = select(consent_event.c.chain_mac).order_by(consent_event.c.id.desc()).limit(1)
    return connection.scalar(query) or consent.START


def read_events(
    connection: Connection, subscriber_id: SubscriberId | None = None
) -> Iterator[ConsentEvent]:
    """Yield the events of one person, or of all, in the order of the chain."""
    after = 0
    while True:
        query = select(consent_event).where(consent_event.c.id > after)
        if subscriber_id is not None:
            query = query.where(consent_event.c.subscriber_id == subscriber_id)
        page = (
            connection.execute(query.order_by(consent_event.c.id).limit(database.CHUNK))
            .mappings()
            .all()
        )
        for row in page:
            after = row["id"]
            yield ConsentEvent(**{("act" if k == "kind" else k): v for k, v in row.items()})
        if len(page) < database.CHUNK:
            return


def find_break(connection: Connection, keys: Keys) -> ConsentEvent | None:
    """Return the first event of the whole chain that does not hold, or None."""
    query = select(subscriber.c.id, subscriber.c.consent_key)
    person_keys = {row.id: row.consent_key for row in connection.execute(query)}
    return consent.find_break(read_events(connection), keys, person_keys.get)


def forget(connection: Connection, subscriber_id: SubscriberId) -> None:
    """Take the details from one person's events: an erasure keeps codes, acts and instants."""
    connection.execute(
        update(consent_event)
        .where(consent_event.c.subscriber_id == subscriber_id)
        .values(detail=null(), notice_version="")
    )


def find_choosers(connection: Connection, ids: Sequence[SubscriberId]) -> set[SubscriberId]:
    """Those of *ids* who chose their preferences themselves: no file overrides that."""
    found: set[SubscriberId] = set()
    for chunk in database.in_chunks(ids):
        query = select(consent_event.c.subscriber_id).where(
            consent_event.c.kind == Act.CHOSE,
            consent_event.c.subscriber_id.in_(chunk),
        )
        found |= set(connection.scalars(query))
    return found
