"""The readers of a run who wait: read page by page, woken when due, cancelled, expired.

In: a connection inside a transaction of the caller, the run, a range of ids, `now`. Out: pages of
readers still to be reached, whether anybody waits, how many were changed. Never: a claim, a row
that a dispatcher is sending.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)

from newsletter.model import DeliveryState
from newsletter.store import prepared, schema
from newsletter.store.ledger import GONE, WAITING, add_event

_delivery = schema.delivery
_subscriber = schema.subscriber

LAST_ID = 2**63 - 1

# --- pages ---------------------------------------------------------------------------------------


class Picked(NamedTuple):
    """A reader still to be reached, and what their message is spliced with."""

    subscriber_id: int
    tries: int
    drops: int
    address: str
    first_name: str
    last_name: str
    organisation: str


# One by one: a list would be spelled out anew at each execution.
IS_STILL_HERE = tuple(_subscriber.c.state != state for state in GONE)


def _select_readers(is_meant: ColumnElement[bool]) -> Select[Any]:
    return (
        select(
            _delivery.c.subscriber_id,
            _delivery.c.tries,
            _delivery.c.drops,
            _subscriber.c.address,
            _subscriber.c.first_name,
            _subscriber.c.last_name,
            _subscriber.c.organisation,
        )
        .join(_subscriber, _subscriber.c.id == _delivery.c.subscriber_id)
        .where(
            _delivery.c.run_id == bindparam("run"),
            is_meant,
            _delivery.c.subscriber_id > bindparam("after"),
            _delivery.c.subscriber_id <= bindparam("until"),
            # Said again: to merge both, PostgreSQL would read all subscribers before the first.
            _subscriber.c.id > bindparam("after"),
            _subscriber.c.id <= bindparam("until"),
            *IS_STILL_HERE,
            _subscriber.c.address.is_not(None),
        )
        .order_by(_delivery.c.subscriber_id)
        .limit(bindparam("size"))
    )


_PICK = _select_readers(_delivery.c.state == DeliveryState.PENDING)
_PICK_DUE = _select_readers(
    (_delivery.c.state == DeliveryState.DEFERRED) & (_delivery.c.not_before <= bindparam("now"))
)


def pick(
    connection: Connection, run_id: int, *, after: int, size: int, until: int = LAST_ID
) -> list[Picked]:
    """Return the next pending readers whose id is in (*after*, *until*]; claim nobody."""
    values = {"run": run_id, "after": after, "until": until, "size": size}
    return _read_picked(connection, _PICK, values)


def pick_due(
    connection: Connection, run_id: int, *, now: datetime, after: int, size: int, until: int
) -> list[Picked]:
    """Return the next deferred readers whose time has come; wake and claim nobody."""
    values = {"run": run_id, "after": after, "until": until, "size": size}
    values["now"] = prepared.instant(connection, now)
    return _read_picked(connection, _PICK_DUE, values)


def _read_picked(
    connection: Connection, statement: Select[Any], values: Mapping[str, Any]
) -> list[Picked]:
    return list(map(Picked._make, prepared.fetch(connection, statement, values)))


# --- waking --------------------------------------------------------------------------------------


def wake_due(
    connection: Connection, run_id: int, *, now: datetime, after: int = -1, until: int = LAST_ID
) -> int:
    """Make deferred readers pending whose time has come."""
    done = connection.execute(
        update(_delivery)
        .where(
            _delivery.c.run_id == run_id,
            _delivery.c.state == DeliveryState.DEFERRED,
            _delivery.c.not_before <= now,
            _delivery.c.subscriber_id > after,
            _delivery.c.subscriber_id <= until,
        )
        .values(state=DeliveryState.PENDING, not_before=None)
    )
    return done.rowcount


def next_due_at(connection: Connection, run_id: int) -> datetime | None:
    """Return when the first deferred reader may be tried again."""
    due: datetime | None = connection.scalar(
        select(func.min(_delivery.c.not_before, type_=schema.Instant())).where(
            _delivery.c.run_id == run_id, _delivery.c.state == DeliveryState.DEFERRED
        )
    )
    return due


class Waiting(NamedTuple):
    """Whether readers wait among those of a range of ids, and above it."""

    here: bool
    later: bool


# Counted, and the next entry of the index: ``exists`` would be sought by PostgreSQL row after row
# from the first, for it knows the run from its start, when every row was pending.
_WAIT_HERE = (
    select(func.count())
    .where(
        _delivery.c.run_id == bindparam("run"),
        or_(*(_delivery.c.state == state for state in WAITING)),
        _delivery.c.subscriber_id > bindparam("after"),
        _delivery.c.subscriber_id <= bindparam("until"),
    )
    .scalar_subquery()
)
_PLACE = (_delivery.c.run_id, _delivery.c.state, _delivery.c.subscriber_id)  # of the index
_NEXT = (
    select(*_PLACE)
    .where(
        tuple_(*_PLACE) > tuple_(bindparam("run"), DeliveryState.PENDING, bindparam("until")),
    )
    .order_by(*_PLACE)
    .limit(1)
    .subquery()
)
_WAIT_LATER = (
    select(func.count())
    .select_from(_NEXT)
    .where(_NEXT.c.run_id == bindparam("run"), _NEXT.c.state == DeliveryState.PENDING)
    .scalar_subquery()
)
_LOOK_FOR_WAITING = select(_WAIT_HERE, _WAIT_LATER)


def look_for_waiting(
    connection: Connection, run_id: int, *, after: int = -1, until: int = LAST_ID
) -> Waiting:
    """Look for pending and deferred readers whose id is in (*after*, *until*], pending above."""
    values = {"run": run_id, "after": after, "until": until}
    here, later = prepared.fetch(connection, _LOOK_FOR_WAITING, values)[0]
    return Waiting(bool(here), bool(later))


# --- leaving, and the deadline -------------------------------------------------------------------


def cancel_reader(connection: Connection, subscriber_id: int, *, reason: str = "left") -> int:
    """Cancel what waits for one reader, in the transaction in which they leave (DESIGN 6).

    No row of theirs enters ``sending`` after that transaction has committed.
    """
    done = connection.execute(
        update(_delivery)
        .where(_delivery.c.subscriber_id == subscriber_id, _delivery.c.state.in_(WAITING))
        .values(state=DeliveryState.CANCELLED, reason=reason, not_before=None, address=None)
    )
    return done.rowcount


def cancel_gone(
    connection: Connection, run_id: int, *, after: int = -1, until: int = LAST_ID
) -> int:
    """Cancel the pending and deferred rows of people who may no longer be written to."""
    gone = ~exists().where(
        _subscriber.c.id == _delivery.c.subscriber_id,
        _subscriber.c.state.not_in(GONE),
        _subscriber.c.address.is_not(None),
    )
    done = connection.execute(
        update(_delivery)
        .where(
            _delivery.c.run_id == run_id,
            _delivery.c.state.in_(WAITING),
            _delivery.c.subscriber_id > after,
            _delivery.c.subscriber_id <= until,
            gone,
        )
        .values(state=DeliveryState.CANCELLED, reason="left", not_before=None, address=None)
    )
    return done.rowcount


def expire(connection: Connection, run_id: int, *, now: datetime) -> int:
    """End a run whose deadline has come: what waits is ``expired``."""
    done = connection.execute(
        update(_delivery)
        .where(_delivery.c.run_id == run_id, _delivery.c.state.in_(WAITING))
        .values(
            state=DeliveryState.EXPIRED,
            reason="deadline",
            not_before=None,
            address=None,
            settled_at=now,
        )
    )
    if done.rowcount:
        add_event(connection, "expired", run_id=run_id, now=now, detail=f"{done.rowcount} readers")
    return done.rowcount
