"""What is in doubt after a dispatch, and what settles it: a proof, or a person's word.

In: a connection inside a transaction of the caller, a run's id, `now`. Out: who is in doubt, by
which dispatches through which relays; how many readers changed. Never: a row that is being sent, a
guess; an unknown reader becomes pending only by proof of absence or on a person's word (DESIGN 6).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from newsletter.model import DeliveryState, RunState
from newsletter.store import schema
from newsletter.store.database import in_chunks
from newsletter.store.ledger import DISPATCH_BEGUN, WAITING, add_event
from newsletter.store.owners import give_up

_run = schema.run
_delivery = schema.delivery
_subscriber = schema.subscriber
_event = schema.event


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reader whose fate is unknown: who claimed them under which fence, when, until when.

    ``owner`` is None for whoever waited in a backup, and may have been written to since.
    """

    subscriber_id: int
    owner: str | None
    fence: int | None
    claimed_at: datetime
    given_up_at: datetime


class Taken(NamedTuple):
    """A reader whose message the relay took: claimed under which fence, when, known since when."""

    subscriber_id: int
    fence: int
    claimed_at: datetime
    settled_at: datetime


@dataclass(frozen=True, slots=True)
class Offers:
    """What the dispatches of a run said: their owners, their relays, the first of them when."""

    owners: frozenset[str]
    relays: frozenset[str]
    since: datetime | None


def read_offers(connection: Connection, run_id: int) -> Offers:
    """Return which relays the dispatches of a run might offer readers to."""
    rows = connection.execute(
        select(_event.c.detail, _event.c.raw, _event.c.at).where(
            _event.c.run_id == run_id, _event.c.kind == DISPATCH_BEGUN
        )
    ).all()
    return Offers(
        owners=frozenset(row.detail for row in rows),
        relays=frozenset(relay for row in rows for relay in row.raw.split()),
        since=min((row.at for row in rows), default=None),
    )


def unknown_readers(connection: Connection, run_id: int) -> Iterator[Doubt]:
    """List the readers of a run whose fate is unknown and whom nobody settled, streamed."""
    given_up = (
        select(func.max(_event.c.at, type_=schema.Instant()))
        .where(
            _event.c.run_id == run_id,
            _event.c.subscriber_id == _delivery.c.subscriber_id,
            _event.c.kind == "unknown",
        )
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            _delivery.c.subscriber_id,
            _delivery.c.owner,
            _delivery.c.fence,
            _delivery.c.claimed_at,
            given_up,
        )
        .where(*_unknown(run_id))
        .order_by(_delivery.c.subscriber_id),
        execution_options={"yield_per": 500},
    )
    for subscriber_id, owner, fence, claimed_at, given_up_at in rows:
        yield Doubt(subscriber_id, owner, fence, claimed_at, given_up_at or claimed_at)


def sent_readers(connection: Connection, run_id: int) -> Iterator[Taken]:
    """List the readers of a run whose message the relay took, in the order of ids, streamed."""
    rows = connection.execute(
        select(
            _delivery.c.subscriber_id,
            _delivery.c.fence,
            _delivery.c.claimed_at,
            _delivery.c.settled_at,
        )
        .where(_delivery.c.run_id == run_id, _delivery.c.state == DeliveryState.SENT)
        .order_by(_delivery.c.subscriber_id),
        execution_options={"yield_per": 500},
    )
    return map(Taken._make, rows)


def _unknown(run_id: int) -> tuple[ColumnElement[bool], ...]:
    return (
        _delivery.c.run_id == run_id,
        _delivery.c.state == DeliveryState.UNKNOWN,
        _delivery.c.left_at.is_(None),
    )


def settle_present(
    connection: Connection, run_id: int, ids: Collection[int], *, proof: str, now: datetime
) -> int:
    """Make unknown readers ``sent`` on a proof that the relay took their message."""
    return _settle(
        connection,
        run_id,
        ids,
        {
            "state": DeliveryState.SENT,
            "reason": "",
            "reply": proof,
            "settled_at": now,
            "owner": None,
            "address": None,
        },
    )


def settle_absent(connection: Connection, run_id: int, ids: Collection[int]) -> int:
    """Make unknown readers ``pending`` again on a proof that the relay never took theirs."""
    return _settle(connection, run_id, ids, _AGAIN)


_AGAIN: dict[str, Any] = {
    "state": DeliveryState.PENDING,
    "reason": "",
    "reply": "",
    "drops": 0,
    "settled_at": None,
    "not_before": None,
    "owner": None,
    "address": None,
}


def _settle(
    connection: Connection, run_id: int, ids: Collection[int], values: dict[str, Any]
) -> int:
    done = 0
    for chunk in in_chunks(list(ids)):
        done += connection.execute(
            update(_delivery)
            .where(*_unknown(run_id), _delivery.c.subscriber_id.in_(chunk))
            .values(**values)
        ).rowcount
    return done


def resend_unknown(connection: Connection, run_id: int, *, now: datetime) -> int:
    """Make every unknown reader pending again, on a person's word: some may get it twice."""
    done = connection.execute(update(_delivery).where(*_unknown(run_id)).values(**_AGAIN)).rowcount
    if done:
        add_event(connection, "resend", run_id=run_id, now=now, detail=f"{done} readers")
        reopen_run(connection, run_id, now=now)
    return done


def leave_unknown(connection: Connection, run_id: int, *, now: datetime) -> int:
    """Settle every unknown reader as they are, on a person's word: some may never get it."""
    done = connection.execute(
        update(_delivery).where(*_unknown(run_id)).values(left_at=now, settled_at=now, address=None)
    ).rowcount
    if done:
        add_event(connection, "leave", run_id=run_id, now=now, detail=f"{done} readers")
    return done


def retry_refused(connection: Connection, run_id: int, reason: str, *, now: datetime) -> int:
    """Make the readers refused for *reason* pending again, once its cause is mended."""
    done = connection.execute(
        update(_delivery)
        .where(
            _delivery.c.run_id == run_id,
            _delivery.c.state == DeliveryState.REFUSED,
            _delivery.c.reason == reason,
        )
        .values(**_AGAIN)
    ).rowcount
    if done:
        detail = f"{done} readers refused for {reason}"
        add_event(connection, "retry", run_id=run_id, now=now, detail=detail)
        reopen_run(connection, run_id, now=now)
    return done


def reopen_run(connection: Connection, run_id: int, *, now: datetime) -> None:
    """Let a run be dispatched again: its 24 h begin anew, its Date stays that of its start.

    Where it is stopped it stays so: to settle somebody is not to let everybody's mail go on.
    """
    connection.execute(
        update(_run)
        .where(_run.c.id == run_id, _run.c.state.in_((RunState.DONE, RunState.DISPATCHING)))
        .values(state=RunState.DISPATCHING, reopened_at=now, finished_at=None)
    )


def count_doubtful_dispatches(connection: Connection, run_id: int) -> int:
    """Return how many dispatches in a row lost the answer about somebody, and reached nobody since.

    Until somebody settles them: whoever was left, or is to be written to again, says nothing more.
    Those that were at work side by side count as one: what breaks down is lost by every worker.
    """
    unknown = and_(*_unknown(run_id))
    if connection.scalar(select(_delivery.c.run_id).where(unknown).limit(1)) is None:
        return 0
    # Taken, by the relay's own word: a refused recipient says nothing of the end of a message, and
    # who came back since had lost that answer as well.
    last_at = connection.scalar(
        select(func.max(_delivery.c.claimed_at, type_=schema.Instant())).where(
            _delivery.c.run_id == run_id,
            _delivery.c.state == DeliveryState.SENT,
            _delivery.c.reason == "",
        )
    )
    lost = unknown & _delivery.c.owner.is_not(None)
    if last_at is not None:
        lost &= _delivery.c.claimed_at > last_at
    return _count_in_row(_read_losses(connection, run_id, lost))


def _read_losses(
    connection: Connection, run_id: int, lost: ColumnElement[bool]
) -> list[tuple[datetime, datetime]]:
    """Return when each dispatch that lost an answer began, and when it claimed the last of them."""
    first_at = func.min(_delivery.c.claimed_at, type_=schema.Instant())
    last_at = func.max(_delivery.c.claimed_at, type_=schema.Instant())
    rows = connection.execute(
        select(_delivery.c.owner, first_at, last_at).where(lost).group_by(_delivery.c.owner)
    ).all()
    begun_at = func.min(_event.c.at, type_=schema.Instant())
    begun = connection.execute(
        select(_event.c.detail, begun_at)
        .where(_event.c.run_id == run_id, _event.c.kind == DISPATCH_BEGUN)
        .group_by(_event.c.detail)
    )
    starts = {row[0]: row[1] for row in begun}
    return [(starts.get(owner, first), last) for owner, first, last in rows]


def _count_in_row(spans: Collection[tuple[datetime, datetime]]) -> int:
    """Return how many of these spans follow one another, at most."""
    count, free_at = 0, None
    for begun_at, last_at in sorted(spans, key=lambda span: span[1]):
        if free_at is None or begun_at >= free_at:
            count, free_at = count + 1, last_at
    return count


def doubt_waiting(connection: Connection, *, now: datetime) -> int:
    """Make ``unknown`` who waits in a begun run of a backup; return how many readers that is.

    They may have been written to since it was made, by whom and through what it does not say.
    """
    begun = select(_run.c.id).where(_run.c.state == RunState.DISPATCHING)
    waiting = _delivery.c.run_id.in_(begun) & _delivery.c.state.in_(WAITING)
    started_at = select(_run.c.started_at).where(_run.c.id == _delivery.c.run_id)
    connection.execute(
        update(_delivery)
        .where(waiting)
        .values(owner=None, not_before=None, claimed_at=started_at.scalar_subquery())
    )
    return give_up(connection, waiting, reason="restored", now=now)


# --- addresses that vanished ---------------------------------------------------------------------


def vanished_readers(connection: Connection, run_id: int) -> list[tuple[int, str]]:
    """Return (id, address) of the readers whom a relay said not to exist, still subscribed."""
    rows = connection.execute(
        select(_delivery.c.subscriber_id, _subscriber.c.address)
        .join(_subscriber, _subscriber.c.id == _delivery.c.subscriber_id)
        .where(
            _delivery.c.run_id == run_id,
            _delivery.c.state == DeliveryState.REFUSED,
            _delivery.c.reason == "no_such_address",
            _subscriber.c.address.is_not(None),
        )
        .order_by(_delivery.c.subscriber_id)
    )
    return [(row[0], row[1]) for row in rows]


def count_domain(connection: Connection, run_id: int, domain: str) -> int:
    """Count a run's readers of one domain."""
    mine = func.lower(_subscriber.c.address).endswith("@" + domain, autoescape=True)
    return (
        connection.scalar(
            select(func.count())
            .select_from(_delivery)
            .join(_subscriber, _subscriber.c.id == _delivery.c.subscriber_id)
            .where(_delivery.c.run_id == run_id, mine)
        )
        or 0
    )
