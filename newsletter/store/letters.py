"""The queue of letters: written in the transaction that causes them, sent by the tick.

In: what to write to whom, under a key that says why; instants. Out: the next letter to send, one
at a time. Never: two letters for one (kind, key, address); a letter sent again by itself once its
end may have left; the text of a reader's letter kept after it is settled, for it holds a link.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, delete, or_, select, true, update

from newsletter.mail.single import Letter
from newsletter.model import LetterState
from newsletter.store.database import dialect_insert
from newsletter.store.schema import letter

# Longer than all deadlines of one submission together (``delivery.endpoints.Deadlines``): a letter
# still in ``sending`` after it belongs to a process that is gone.
LEASE = timedelta(minutes=30)


def queue(
    connection: Connection,
    *,
    kind: str,
    key: str,
    address: str,
    subject: str,
    text: str,
    now: datetime,
    subscriber_id: int | None = None,
) -> bool:
    """Queue a letter; return False when one of this kind, key and address was queued before."""
    row: dict[str, Any] = {
        "kind": kind,
        "key": key,
        "address": address,
        "subject": subject,
        "text": text,
        "subscriber_id": subscriber_id,
        "created_at": now,
    }
    insert = dialect_insert(connection, letter).values(row).on_conflict_do_nothing()
    return connection.scalar(insert.returning(letter.c.id)) is not None


def claim(
    connection: Connection, now: datetime, kinds: frozenset[str] | None = None
) -> tuple[Letter, datetime, int] | None:
    """Take the oldest letter that is due; return it, when it was written, and its tries so far.

    Committing this transaction is the intent: nothing of the letter may leave before.
    """
    row = connection.execute(
        select(letter)
        .where(
            letter.c.state == LetterState.QUEUED,
            or_(letter.c.not_before.is_(None), letter.c.not_before <= now),
            letter.c.kind.in_(kinds) if kinds is not None else true(),
        )
        .order_by(letter.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if row is None:
        return None
    connection.execute(
        update(letter)
        .where(letter.c.id == row.id)
        .values(state=LetterState.SENDING, not_before=now + LEASE)
    )
    return (
        Letter(
            id=row.id,
            address=row.address,
            subject=row.subject,
            text=row.text,
            subscriber_id=row.subscriber_id,
        ),
        row.created_at,
        row.tries,
    )


def settle(
    connection: Connection, letter_id: int, state: LetterState, *, reply: str, now: datetime
) -> None:
    """Write what came of a claimed letter; the text of one to a reader is let go."""
    is_readers = letter.c.subscriber_id.is_not(None)
    connection.execute(
        update(letter)
        .where(letter.c.id == letter_id, letter.c.state.in_(_IN_DOUBT))
        .values(
            state=state,
            reply=reply,
            tries=letter.c.tries + 1,
            not_before=None,
            sent_at=now if state is LetterState.SENT else None,
            text=case((is_readers, ""), else_=letter.c.text),
        )
    )


def postpone(
    connection: Connection, letter_id: int, *, until: datetime, reply: str, charged: bool
) -> None:
    """Put a claimed letter back; *charged* counts a try, which a fault of the line does not."""
    connection.execute(
        update(letter)
        .where(letter.c.id == letter_id, letter.c.state.in_(_IN_DOUBT))
        .values(
            state=LetterState.QUEUED,
            reply=reply,
            tries=letter.c.tries + (1 if charged else 0),
            not_before=until,
        )
    )


# A definite answer also settles a letter whose lease ran out while it was awaited.
_IN_DOUBT = (LetterState.SENDING, LetterState.UNKNOWN)


def give_up_stale(connection: Connection, now: datetime) -> int:
    """Turn letters whose sender is gone to ``unknown``; return how many."""
    return connection.execute(
        update(letter)
        .where(letter.c.state == LetterState.SENDING, letter.c.not_before <= now)
        .values(state=LetterState.UNKNOWN, reply="the process that sent it ended", not_before=None)
    ).rowcount


def forget(connection: Connection, subscriber_id: int) -> None:
    """Erase every letter to a reader (P9), those still queued included."""
    connection.execute(delete(letter).where(letter.c.subscriber_id == subscriber_id))


def cancel(connection: Connection, *, kind: str, key: str) -> int:
    """Take back what is still queued under a key; return how many letters."""
    return connection.execute(
        update(letter)
        .where(letter.c.kind == kind, letter.c.key == key, letter.c.state == LetterState.QUEUED)
        .values(state=LetterState.CANCELLED)
    ).rowcount
