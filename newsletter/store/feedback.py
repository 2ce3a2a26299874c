"""What came back, written down: the delivery, the reader, the events.

In: an open connection, one ``Feedback`` and its raw text. Out: what it changed. Never: a reader
taken off the list for a message that holds no signed word of ours, for a policy of the receiving
side, or for a full mailbox alone (DESIGN 6, D11).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, exists, select, update

from newsletter.audience.suppression import Reason
from newsletter.config import Keys
from newsletter.feedback.facts import Feedback, FeedbackKind
from newsletter.model import DeliveryState, SubscriberId
from newsletter.store import leaving
from newsletter.store.ledger import add_event
from newsletter.store.schema import delivery, event, subscriber

# D11: soft bounces suppress only after so many issues, over so long; a quiet year forgets them.
SOFT_LIMIT = 3
SOFT_SPAN = timedelta(weeks=3)
SOFT_MEMORY = timedelta(days=365)
MAX_RAW = 20_000

_BOUNCES = {FeedbackKind.GONE, FeedbackKind.SOFT, FeedbackKind.POLICY}


class Effect(StrEnum):
    """What one message that came back changed."""

    SUPPRESSED = "suppressed"  # the reader is not written to again
    NOTED = "noted"
    SEEN = "seen"  # this very message was noted before
    STRANGE = "strange"  # of nobody we know: for a person to read


def apply_feedback(
    connection: Connection, keys: Keys, feedback: Feedback, *, raw: bytes, now: datetime
) -> Effect:
    """Write down one message that came back; the same one twice changes nothing."""
    text = raw[:MAX_RAW].decode("utf-8", "replace").replace("\x00", "\ufffd")
    reader = feedback.subscriber_id
    if reader is None:
        _note(connection, feedback, None, text, now)
        return Effect.STRANGE
    if not _is_known(connection, reader):
        # Its words quote the address of somebody who was erased: that it came is all we keep.
        _note(connection, replace(feedback, diagnostic=""), None, "", now)
        return Effect.STRANGE
    if _was_seen(connection, feedback, text):
        return Effect.SEEN
    _note(connection, feedback, reader, text, now)
    first = _mark_delivery(connection, feedback, reader, now)
    reason = _reason_to_suppress(connection, feedback, reader, first=first, now=now)
    if reason is not None:
        detail = {"status": feedback.status, "diagnostic": feedback.diagnostic}
        if leaving.suppress(
            connection, keys, SubscriberId(reader), reason=reason, detail=detail, now=now
        ):
            return Effect.SUPPRESSED
    return Effect.NOTED


def _is_known(connection: Connection, reader: int) -> bool:
    """True for a person we still hold: nothing of one who was erased is kept again (P9)."""
    return bool(
        connection.scalar(
            select(exists().where(subscriber.c.id == reader, subscriber.c.address_key.is_not(None)))
        )
    )


def _was_seen(connection: Connection, feedback: Feedback, text: str) -> bool:
    same = (
        event.c.subscriber_id == feedback.subscriber_id,
        event.c.kind == feedback.kind,
        event.c.run_id.is_not_distinct_from(feedback.run_id or None),
        event.c.raw == text,
    )
    return bool(connection.scalar(select(exists().where(*same))))


def _note(
    connection: Connection, feedback: Feedback, reader: int | None, text: str, now: datetime
) -> None:
    add_event(
        connection,
        feedback.kind,
        now=now,
        run_id=feedback.run_id or None,
        subscriber_id=reader,
        detail=f"{feedback.status} {feedback.diagnostic}".strip(),
        raw=text,
    )


def _mark_delivery(connection: Connection, feedback: Feedback, reader: int, now: datetime) -> bool:
    """Mark the delivery that came back; return whether it is the first to do so.

    Whatever comes back was delivered as far as we are concerned: it settles an ``unknown``.
    """
    ours = (delivery.c.run_id == feedback.run_id, delivery.c.subscriber_id == reader)
    connection.execute(
        update(delivery)
        .where(*ours, delivery.c.state == DeliveryState.UNKNOWN)
        .values(
            state=DeliveryState.SENT,
            reason=f"proved by {feedback.kind}",
            left_at=None,
            settled_at=now,
            owner=None,
            address=None,
        )
    )
    column = (
        delivery.c.complained_at
        if feedback.kind is FeedbackKind.COMPLAINT
        else delivery.c.bounced_at
        if feedback.kind in _BOUNCES
        else None
    )
    if column is None:
        return False
    marked = update(delivery).where(*ours, column.is_(None)).values({column.name: now})
    return connection.execute(marked).rowcount == 1


def _reason_to_suppress(
    connection: Connection, feedback: Feedback, reader: int, *, first: bool, now: datetime
) -> Reason | None:
    if feedback.kind is FeedbackKind.COMPLAINT:
        return Reason.COMPLAINT
    if feedback.kind is FeedbackKind.GONE:
        return Reason.BOUNCE
    if feedback.kind is FeedbackKind.SOFT and first:
        return Reason.BOUNCE if _count_soft(connection, reader, now) else None
    return None


def _count_soft(connection: Connection, reader: int, now: datetime) -> bool:
    """Count one issue that came back; True when there were too many for too long."""
    columns = subscriber.c
    count, since = connection.execute(
        select(columns.soft_bounces, columns.soft_bounce_since)
        .where(columns.id == reader)
        .with_for_update()
    ).one()
    if since is None or since < now - SOFT_MEMORY:
        count, since = 0, now
    connection.execute(
        update(subscriber)
        .where(columns.id == reader)
        .values(soft_bounces=count + 1, soft_bounce_since=since)
    )
    return bool(count + 1 >= SOFT_LIMIT and now - since >= SOFT_SPAN)
