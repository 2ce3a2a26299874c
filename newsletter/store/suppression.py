"""Addresses never to be written to again: the table ``suppression`` (P11).

In: an open connection, fingerprints. Out: why one is there. Never: an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select

from newsletter.audience.suppression import Reason
from newsletter.store.database import dialect_insert, in_chunks
from newsletter.store.schema import suppression


def add(
    connection: Connection, fingerprints: Iterable[tuple[str, Reason]], *, now: datetime
) -> None:
    """Keep these fingerprints; a later reason replaces an earlier one, the first instant stays.

    A complaint stays a complaint: the sign-up form never writes to that address again (T6).
    """
    rows = [{"fingerprint": mark, "reason": reason, "at": now} for mark, reason in fingerprints]
    statement = dialect_insert(connection, suppression)
    upsert = statement.on_conflict_do_update(
        index_elements=[suppression.c.fingerprint],
        set_={"reason": statement.excluded.reason},
        where=suppression.c.reason != Reason.COMPLAINT,
    )
    for chunk in in_chunks(rows):
        connection.execute(upsert, chunk)


def find(connection: Connection, fingerprints: Sequence[str]) -> dict[str, Reason]:
    """The reason of each fingerprint that is on the list."""
    found: dict[str, Reason] = {}
    for chunk in in_chunks(fingerprints):
        query = select(suppression.c.fingerprint, suppression.c.reason).where(
            suppression.c.fingerprint.in_(chunk)
        )
        found |= {mark: Reason(reason) for mark, reason in connection.execute(query)}
    return found


def lift(connection: Connection, fingerprint: str) -> None:
    """Take a fingerprint off: its person came back by their own act, and only then."""
    connection.execute(delete(suppression).where(suppression.c.fingerprint == fingerprint))
