"""People who go: unsubscribed, suppressed, erased, each in one transaction.

In: an open connection, a person's id, why. Out: whether anything changed. Never: a change of mind
on their behalf; whoever is already gone stays as they are. In the same transaction what waits for
them in any run is cancelled (DESIGN 6), a fingerprint keeps imports from bringing them back (P11),
and the event joins the chain of consent (P6).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, null, select, update

from newsletter.audience.consent import Act, NewEvent
from newsletter.audience.suppression import Reason, fingerprint
from newsletter.config import Keys
from newsletter.model import DeliveryState, LetterState, SubscriberId, SubscriberState
from newsletter.store import consent, letters, suppression, tokens, waiting
from newsletter.store.schema import delivery, event, letter, subscriber

_GONE = {SubscriberState.UNSUBSCRIBED, SubscriberState.SUPPRESSED, SubscriberState.ERASED}
_BLANK = {
    "first_name": "",
    "last_name": "",
    "organisation": "",
    "profile": "",
    "region": "",
    "department": "",
    "objectives": "",
    "evidence": "",
    "source": "",
    "depth": None,
    "paused_from": None,
    "paused_until": None,
}


def unsubscribe(
    connection: Connection,
    keys: Keys,
    subscriber_id: SubscriberId,
    *,
    detail: Mapping[str, object],
    now: datetime,
    run_id: int | None = None,
) -> bool:
    """Let a person go; False when there is nobody to let go."""
    row = _lock(connection, subscriber_id)
    if row is None or row.state in _GONE:
        return False
    _note(connection, keys, row, act=Act.LEFT, detail=detail, now=now)
    _leave(connection, keys, row, SubscriberState.UNSUBSCRIBED, Reason.UNSUBSCRIBED, now=now)
    facts = {"at": now, "kind": "unsubscribed", "run_id": run_id, "subscriber_id": subscriber_id}
    connection.execute(insert(event).values(**facts))
    return True


def suppress(
    connection: Connection,
    keys: Keys,
    subscriber_id: SubscriberId,
    *,
    reason: Reason,
    detail: Mapping[str, object],
    now: datetime,
) -> bool:
    """Never write again to an address that does not exist, or to a person who complained."""
    row = _lock(connection, subscriber_id)
    if row is None or row.state in _GONE:
        return False
    told = {**detail, "reason": reason}
    _note(connection, keys, row, act=Act.SUPPRESSED, detail=told, now=now)
    _leave(connection, keys, row, SubscriberState.SUPPRESSED, reason, now=now)
    return True


def erase(connection: Connection, keys: Keys, subscriber_id: SubscriberId, now: datetime) -> bool:
    """Forget a person: only the fingerprint, and what a random id did and when, is left (T14).

    Their deliveries stay, without address, so that reports still add up.
    """
    row = _lock(connection, subscriber_id)
    if row is None or row.state == SubscriberState.ERASED:
        return False
    _note(connection, keys, row, act=Act.ERASED, detail={}, now=now)
    _leave(connection, keys, row, SubscriberState.ERASED, Reason.ERASED, now=now)
    gone = {"address": None, "address_key": None, "consent_key": None, **_BLANK}
    connection.execute(update(subscriber).where(subscriber.c.id == subscriber_id).values(**gone))
    _forget_traces(connection, subscriber_id)
    return True


def drop_pending(connection: Connection, subscriber_id: SubscriberId) -> None:
    """Take out a sign-up that nobody confirmed (P7): no fingerprint, they may ask again."""
    _forget_traces(connection, subscriber_id)
    connection.execute(
        delete(subscriber).where(
            subscriber.c.id == subscriber_id, subscriber.c.state == SubscriberState.PENDING
        )
    )


def sweep_erased(connection: Connection) -> int:
    """Take away what a dispatcher still wrote of people erased while they were in its hands."""
    erased = select(subscriber.c.id).where(subscriber.c.state == SubscriberState.ERASED)
    late = (delivery.c.address.is_not(None)) | (delivery.c.reply != "")
    rows = connection.execute(
        update(delivery)
        .where(
            delivery.c.subscriber_id.in_(erased),
            delivery.c.state != DeliveryState.SENDING,
            late,
        )
        .values(address=null(), reply="")
    )
    told = event.c.subscriber_id.in_(erased) & ((event.c.raw != "") | (event.c.detail != ""))
    connection.execute(update(event).where(told).values(raw="", detail=""))
    return rows.rowcount


def _forget_traces(connection: Connection, subscriber_id: SubscriberId) -> None:
    """Take a person's words and address out of every other table that may hold them."""
    consent.forget(connection, subscriber_id)
    tokens.forget(connection, subscriber_id)
    letters.forget(connection, subscriber_id)
    connection.execute(
        update(event).where(event.c.subscriber_id == subscriber_id).values(raw="", detail="")
    )
    # A row in `sending` is its dispatcher's; the address leaves it when it settles.
    settled = delivery.c.state != DeliveryState.SENDING
    connection.execute(
        update(delivery)
        .where(delivery.c.subscriber_id == subscriber_id, settled)
        .values(address=null(), reply="")  # relays quote the address in what they say
    )


def _lock(connection: Connection, subscriber_id: SubscriberId) -> Any:
    """Read a person's row, or None, and hold it until this transaction ends."""
    columns = subscriber.c
    return connection.execute(
        select(columns.id, columns.state, columns.address_key, columns.consent_key)
        .where(columns.id == subscriber_id)
        .with_for_update()
    ).one_or_none()


def _note(
    connection: Connection,
    keys: Keys,
    row: Any,
    *,
    act: Act,
    detail: Mapping[str, object],
    now: datetime,
) -> None:
    if row.consent_key is None:
        return
    noted = NewEvent(subscriber_id=row.id, key=row.consent_key, act=act, detail=detail)
    consent.record(connection, keys, [noted], now)


def _leave(
    connection: Connection,
    keys: Keys,
    row: Any,
    state: SubscriberState,
    reason: Reason,
    *,
    now: datetime,
) -> None:
    connection.execute(update(subscriber).where(subscriber.c.id == row.id).values(state=state))
    waiting.cancel_reader(connection, row.id, reason=reason)
    queued = (letter.c.subscriber_id == row.id) & (letter.c.state == LetterState.QUEUED)
    connection.execute(update(letter).where(queued).values(state=LetterState.CANCELLED))
    if row.address_key:
        marks = [(fingerprint(keys, row.address_key), reason)]
        suppression.add(connection, marks, now=now)
