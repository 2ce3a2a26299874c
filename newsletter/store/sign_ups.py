"""How often an address was written to on behalf of the sign-up form (T6).

In: an open connection, a person, instants. Out: counts. Never: an address; letters are counted by
the id of their person.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from newsletter.model import SubscriberId
from newsletter.store.schema import letter, run

# The letters that the form makes us write.
KINDS = ("confirmation", "already")
PER_HOUR = timedelta(hours=1)


def count_recent(connection: Connection, now: datetime) -> int:
    """How many letters the form caused in the last hour, to anybody."""
    columns = letter.c
    query = select(func.count()).where(
        columns.kind.in_(KINDS), columns.created_at > now - PER_HOUR, columns.created_at <= now
    )
    return connection.scalar(query) or 0


def list_written(
    connection: Connection, subscriber_id: SubscriberId, kind: str, since: datetime | None
) -> list[datetime]:
    """When a person was written such a letter, since their last confirmation."""
    query = select(letter.c.created_at).where(
        letter.c.kind == kind, letter.c.subscriber_id == subscriber_id
    )
    if since is not None:
        query = query.where(letter.c.created_at > since)
    return sorted(connection.scalars(query))


def find_latest_issue(connection: Connection) -> str | None:
    """The id of the last issue that left."""
    left = (run.c.kind == "issue") & run.c.started_at.is_not(None)
    newest = select(run.c.issue_id).where(left).order_by(run.c.issue_id.desc()).limit(1)
    found: str | None = connection.scalar(newest)
    return found
