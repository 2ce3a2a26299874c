"""Everything the database holds on one person, for that person (P9: access, portability).

In: an open connection, a person. Out: plain JSON values. Never: anything about somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from sqlalchemy import Connection, Select, select

from newsletter.model import Subscriber, SubscriberId
from newsletter.store import consent
from newsletter.store.schema import delivery, event, letter, run


def read(connection: Connection, person: Subscriber | None) -> dict[str, Any]:
    """Return what we keep on a person: who they are, what they agreed to, what they were sent."""
    if person is None:
        return {"subscriber": None, "consent": [], "deliveries": [], "letters": [], "events": []}
    agreed = consent.read_events(connection, person.id)
    return {
        "subscriber": _plain(asdict(person)),
        "consent": [_plain(asdict(told)) for told in agreed],
        "deliveries": _rows(connection, _deliveries(person.id)),
        "letters": _rows(connection, _letters(person.id)),
        "events": _rows(connection, _events(person.id)),
    }


def _deliveries(subscriber_id: SubscriberId) -> Select[Any]:
    columns = delivery.c
    return (
        select(run.c.issue_id, run.c.kind, columns.state, columns.reason, columns.reply)
        .add_columns(columns.settled_at, columns.bounced_at, columns.complained_at)
        .join_from(delivery, run, columns.run_id == run.c.id)
        .where(columns.subscriber_id == subscriber_id)
        .order_by(run.c.id)
    )


def _letters(subscriber_id: SubscriberId) -> Select[Any]:
    columns = letter.c
    return (
        select(columns.kind, columns.subject, columns.state, columns.created_at, columns.sent_at)
        .where(columns.subscriber_id == subscriber_id)
        .order_by(columns.id)
    )


def _events(subscriber_id: SubscriberId) -> Select[Any]:
    columns = event.c
    return (
        select(columns.at, columns.kind, columns.detail, columns.raw)
        .where(columns.subscriber_id == subscriber_id)
        .order_by(columns.id)
    )


def _rows(connection: Connection, query: Select[Any]) -> list[dict[str, Any]]:
    return [_plain(dict(row)) for row in connection.execute(query).mappings()]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values as JSON can tell them."""
    return {name: _spell(value) for name, value in values.items()}


def _spell(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if isinstance(value, date) else value
