"""Where a run's readers stand: counted by state, with reason or domain; one by one; its events.

In: an open connection, a run's id. Out: counts and facts, streamed. Never: a row changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, or_, select

from newsletter.model import DeliveryState, Tally
from newsletter.store.schema import Instant, delivery, event, subscriber

_ADDRESS = func.coalesce(delivery.c.address, subscriber.c.address, "")


def count_by_reason(connection: Connection, run_id: int) -> list[tuple[str, str, int]]:
    """Return (state, reason, readers), the most frequent first."""
    return _count(connection, run_id, delivery.c.reason)


def count_by_domain(connection: Connection, run_id: int) -> list[tuple[str, str, int]]:
    """Return (state, domain, readers), the most frequent first; the erased have no domain."""
    if connection.dialect.name == "sqlite":
        domain = func.substr(_ADDRESS, func.instr(_ADDRESS, "@") + 1)
    else:
        domain = func.split_part(_ADDRESS, "@", 2)
    return _count(connection, run_id, func.lower(domain))


def count_refused(connection: Connection, run_id: int) -> dict[str, int]:
    """Return how many are refused for each reason, in the order of the alphabet."""
    rows = connection.execute(
        select(delivery.c.reason, func.count())
        .where(delivery.c.run_id == run_id, delivery.c.state == DeliveryState.REFUSED)
        .group_by(delivery.c.reason)
        .order_by(delivery.c.reason)
    )
    return {row[0]: row[1] for row in rows}


def _count(
    connection: Connection, run_id: int, what: ColumnElement[str]
) -> list[tuple[str, str, int]]:
    readers = func.count().label("readers")
    rows = connection.execute(
        select(delivery.c.state, what.label("what"), readers)
        .outerjoin(subscriber, subscriber.c.id == delivery.c.subscriber_id)
        .where(delivery.c.run_id == run_id)
        .group_by(delivery.c.state, "what")
        .order_by(readers.desc(), delivery.c.state, "what")
    )
    return [(row[0], row[1], row[2]) for row in rows]


def list_doubts(connection: Connection, run_id: int) -> list[str]:
    """Return what a run could not believe and asks a person about: sentences, oldest first."""
    details = connection.scalars(
        select(event.c.detail)
        .where(event.c.run_id == run_id, event.c.kind.endswith("_in_doubt", autoescape=True))
        .order_by(event.c.id)
    )
    return list(dict.fromkeys(details))  # a run that was reopened may have said it twice


def stream_events(connection: Connection, run_id: int) -> Iterator[dict[str, Any]]:
    """Yield the facts kept about a run and its readers, without addresses or raw mail."""
    rows = connection.execute(
        select(event.c.at, event.c.kind, event.c.subscriber_id, event.c.detail)
        .where(event.c.run_id == run_id)
        .order_by(event.c.id),
        execution_options={"yield_per": 500},
    )
    for at, kind, subscriber_id, detail in rows:
        yield {"at": at, "kind": kind, "reader": subscriber_id, "detail": detail}


# --- where everybody stands ----------------------------------------------------------------------


def tally(connection: Connection, run_id: int) -> Tally:
    """Count a run's readers by state; the eight states add up to the audience."""
    rows = connection.execute(
        select(delivery.c.state, func.count())
        .where(delivery.c.run_id == run_id)
        .group_by(delivery.c.state)
    )
    by_state = {row[0]: row[1] for row in rows}
    bounced, complained, left = (
        connection.execute(_count_later(run_id)).one()
        # Nobody bounces before anybody was written to: a run of a million starts at once.
        if by_state.keys() & {DeliveryState.SENT, DeliveryState.UNKNOWN}
        else (0, 0, 0)
    )
    return Tally(
        audience=sum(by_state.values()),
        **{state.value: by_state.get(state.value, 0) for state in DeliveryState},
        bounced=bounced or 0,
        complained=complained or 0,
        left=left or 0,
    )


def _count_later(run_id: int) -> Select[Any]:
    sent = delivery.c.state == DeliveryState.SENT
    unknown = delivery.c.state == DeliveryState.UNKNOWN
    return select(
        func.sum(case((sent & delivery.c.bounced_at.is_not(None), 1), else_=0)),
        func.sum(case((sent & delivery.c.complained_at.is_not(None), 1), else_=0)),
        func.sum(case((unknown & delivery.c.left_at.is_not(None), 1), else_=0)),
    ).where(
        delivery.c.run_id == run_id,
        or_(
            delivery.c.bounced_at.is_not(None),
            delivery.c.complained_at.is_not(None),
            delivery.c.left_at.is_not(None),
        ),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one reader stands in a run, for the report."""

    subscriber_id: int
    address: str  # '' once erased
    state: DeliveryState
    reason: str
    reply: str
    at: datetime | None  # settled, or else claimed, or else due


def readers(
    connection: Connection, run_id: int, state: DeliveryState | None = None
) -> Iterator[Standing]:
    """List a run's readers, those of one state when given, streamed in the order of their ids."""
    rows = (
        select(
            delivery.c.subscriber_id,
            func.coalesce(delivery.c.address, subscriber.c.address, ""),
            delivery.c.state,
            delivery.c.reason,
            delivery.c.reply,
            func.coalesce(
                delivery.c.settled_at,
                delivery.c.not_before,
                delivery.c.claimed_at,
                type_=Instant(),
            ),
        )
        .outerjoin(subscriber, subscriber.c.id == delivery.c.subscriber_id)
        .where(delivery.c.run_id == run_id)
        .order_by(delivery.c.subscriber_id)
    )
    if state is not None:
        rows = rows.where(delivery.c.state == state)
    for reader in connection.execute(rows, execution_options={"yield_per": 500}):
        yield Standing(reader[0], reader[1], DeliveryState(reader[2]), *reader[3:])
