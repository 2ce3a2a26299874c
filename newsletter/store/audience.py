"""The people on the list: the table ``subscriber``.

In: an open connection and values. Out: ``model.Subscriber`` values, and the query that freezes an
audience. Never: an address in a log, a person found by anything but address key or random id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    false,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from newsletter.audience import segments
from newsletter.config import Settings
from newsletter.errors import NotFound
from newsletter.model import Frequency, Subscriber, SubscriberId, SubscriberState
from newsletter.store.database import CHUNK, in_chunks
from newsletter.store.schema import subscriber

_COLUMNS = tuple(subscriber.c[name] for name in Subscriber.__dataclass_fields__)


def select_audience(rule: str, settings: Settings, day: date) -> Select[tuple[int]]:
    """The ids of those who receive an issue of *rule* on *day*, as ``segments.matches`` decides."""
    frequency, segment = segments.resolve(rule, settings)
    columns = subscriber.c
    paused = or_(
        and_(columns.paused_until.is_(None), columns.state == SubscriberState.PAUSED),
        and_(
            columns.paused_until >= day,
            or_(columns.paused_from.is_(None), columns.paused_from <= day),
        ),
    )
    return select(columns.id).where(
        columns.state.in_(segments.MAILED_STATES),
        columns.basis != "",
        columns.frequency == frequency,
        # NULL >= day is NULL, and NOT NULL keeps nobody: say false instead.
        ~func.coalesce(paused, false()),
        columns.profile.in_(segment.profiles) if segment.profiles else true(),
        columns.region.in_(segment.regions) if segment.regions else true(),
        or_(*map(_has_objective, segment.objectives)) if segment.objectives else true(),
    )


def _has_objective(slug: str) -> Any:
    # Not LIKE: SQLite's ignores case. Replacing what is not there changes nothing.
    column = subscriber.c.objectives
    return func.replace(column, f",{slug},", "") != column


def add_many(connection: Connection, people: Iterable[Mapping[str, Any]]) -> None:
    """Insert people; each mapping has the table's columns, ``objectives`` as a tuple."""
    rows = [_to_row(person) for person in people]
    for chunk in in_chunks(rows):
        connection.execute(insert(subscriber), chunk)


def change(connection: Connection, subscriber_id: SubscriberId, **values: Any) -> None:
    """Set columns of one person. Raise NotFound when there is no such person."""
    done = connection.execute(
        update(subscriber).where(subscriber.c.id == subscriber_id).values(_to_row(values))
    )
    if not done.rowcount:
        raise NotFound("there is no such subscriber")


def change_many(connection: Connection, changes: Mapping[SubscriberId, Mapping[str, Any]]) -> None:
    """Set columns of many people, grouping those that change the same columns."""
    grouped: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for subscriber_id, values in changes.items():
        row = _to_row(values)
        grouped.setdefault(tuple(sorted(row)), []).append({"b_id": subscriber_id, **row})
    statement = update(subscriber).where(subscriber.c.id == bindparam("b_id"))
    for rows in grouped.values():
        for chunk in in_chunks(rows):
            connection.execute(statement, chunk)


def find(connection: Connection, address_key: str) -> Subscriber | None:
    """The person of this address key, or None."""
    row = connection.execute(
        select(*_COLUMNS).where(subscriber.c.address_key == address_key)
    ).one_or_none()
    return None if row is None else _from_row(row)


def find_many(connection: Connection, address_keys: Sequence[str]) -> dict[str, Subscriber]:
    """The people of these address keys, by key."""
    found = {}
    for keys in in_chunks(address_keys):
        query = select(subscriber.c.address_key, *_COLUMNS).where(
            subscriber.c.address_key.in_(keys)
        )
        for key, *values in connection.execute(query):
            found[key] = _from_values(values)
    return found


def get(connection: Connection, subscriber_id: SubscriberId) -> Subscriber:
    """The person of this id; raise NotFound without. An erased one has no address."""
    row = connection.execute(
        select(*_COLUMNS).where(subscriber.c.id == subscriber_id)
    ).one_or_none()
    if row is None:
        raise NotFound("there is no such subscriber")
    return _from_row(row)


def get_consent_key(connection: Connection, subscriber_id: SubscriberId) -> bytes:
    """The random key of one person's events (P6); NotFound for a stranger or an erased one."""
    key = connection.scalar(
        select(subscriber.c.consent_key).where(subscriber.c.id == subscriber_id)
    )
    if key is None:
        raise NotFound("there is no such subscriber")
    return bytes(key)


def stream(
    connection: Connection, states: Sequence[SubscriberState] = tuple(SubscriberState)
) -> Iterator[Subscriber]:
    """Yield people in these states, ordered by address, a page at a time (flat memory)."""
    after = ""
    while True:
        page = connection.execute(
            select(subscriber.c.address_key, *_COLUMNS)
            .where(subscriber.c.address_key > after, subscriber.c.state.in_(states))
            .order_by(subscriber.c.address_key)
            .limit(CHUNK)
        ).all()
        for key, *values in page:
            after = key
            yield _from_values(values)
        if len(page) < CHUNK:
            return


def count_audience(connection: Connection, rule: str, settings: Settings, day: date) -> int:
    """How many people an issue of *rule* reaches on *day*."""
    audience = select_audience(rule, settings, day).subquery()
    return connection.scalar(select(func.count()).select_from(audience)) or 0


def stream_audience(
    connection: Connection, rule: str, settings: Settings, day: date
) -> Iterator[Subscriber]:
    """Yield the people an issue of *rule* reaches on *day*, in the order of their ids."""
    ids = select_audience(rule, settings, day)
    query = select(*_COLUMNS).where(subscriber.c.id.in_(ids)).order_by(subscriber.c.id)
    rows = connection.execute(query, execution_options={"yield_per": CHUNK})
    return map(_from_row, rows)


def _to_row(values: Mapping[str, Any]) -> dict[str, Any]:
    row = dict(values)
    if "objectives" in row:
        slugs = row["objectives"]
        row["objectives"] = f",{','.join(slugs)}," if slugs else ""
    return row


def _from_row(row: Row[Any]) -> Subscriber:
    return _from_values(list(row))


def _from_values(values: Sequence[Any]) -> Subscriber:
    named: dict[str, Any] = dict(zip(Subscriber.__dataclass_fields__, values, strict=True))
    named["address"] = named["address"] or ""
    named["state"] = SubscriberState(named["state"])
    named["frequency"] = Frequency(named["frequency"])
    named["objectives"] = tuple(filter(None, named["objectives"].split(",")))
    return Subscriber(**named)
