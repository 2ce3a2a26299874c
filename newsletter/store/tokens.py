"""Random tokens of confirmations and renewals: the table ``token`` (T1).

In: an open connection, a token as the link carries it. Out: whose it is. Never: the token itself
in the table; who reads the table cannot confirm for anybody.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, delete, insert, select, update

from newsletter.model import SubscriberId
from newsletter.store.schema import token as table


def add(
    connection: Connection,
    token: str,
    *,
    purpose: str,
    subscriber_id: SubscriberId,
    expires_at: datetime,
) -> None:
    """Keep the hash of a new token."""
    connection.execute(
        insert(table).values(
            hash=_hash(token), purpose=purpose, subscriber_id=subscriber_id, expires_at=expires_at
        )
    )


def find(connection: Connection, token: str, *, purpose: str, now: datetime) -> SubscriberId | None:
    """Whose valid token this is; None when it is unknown, used or too old. Changes nothing."""
    return connection.scalar(
        select(table.c.subscriber_id).where(
            table.c.hash == _hash(token),
            table.c.purpose == purpose,
            table.c.used_at.is_(None),
            table.c.expires_at > now,
        )
    )


def use(connection: Connection, token: str, *, purpose: str, now: datetime) -> SubscriberId | None:
    """Use a token up, and say whose it was; None when it is no longer valid."""
    done = connection.execute(
        update(table)
        .where(
            table.c.hash == _hash(token),
            table.c.purpose == purpose,
            table.c.used_at.is_(None),
            table.c.expires_at > now,
        )
        .values(used_at=now)
        .returning(table.c.subscriber_id)
    )
    return done.scalar_one_or_none()


def forget(connection: Connection, subscriber_id: SubscriberId) -> None:
    """Take away every token of one person."""
    connection.execute(delete(table).where(table.c.subscriber_id == subscriber_id))


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
