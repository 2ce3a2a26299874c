"""A run's readers counted by state with reason, or with domain; its events, oldest first.

In: an open connection, a run's id. Out: counts and facts, streamed. Never: a row changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from newsletter.model import DeliveryState
from newsletter.store.schema import delivery, event, subscriber

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
