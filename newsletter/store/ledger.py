"""The ledger of a run: its start, who dispatches it, its stops and its end.

In: a connection inside a transaction of the caller, ids, `now`. Out: leases; the verbs around a
run. Who waits is in ``waiting``; what one dispatcher writes while sending, in ``windows``; what
settles the unknown, in ``settling``; who stands where, in ``breakdown``. Never: an SMTP word, a
decision on a reply (``delivery.states``), a reader's row taken from a dispatcher that is not
provably dead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from newsletter.errors import Conflict, NotFound
from newsletter.model import DeliveryState, RunState, SubscriberState
from newsletter.store import schema

_run = schema.run
_delivery = schema.delivery
_subscriber = schema.subscriber
_event = schema.event

#: States that still may lead to a submission: a run with none of them is done.
OPEN = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.DEFERRED)
#: States from which nothing has been submitted and nothing is being.
WAITING = (DeliveryState.PENDING, DeliveryState.DEFERRED)
#: People who may not be written to any more, whatever the frozen audience says.
GONE = (
    SubscriberState.PENDING,
    SubscriberState.UNSUBSCRIBED,
    SubscriberState.SUPPRESSED,
    SubscriberState.ERASED,
)
#: The event that says which relays a dispatch may offer readers to.
DISPATCH_BEGUN = "dispatch_begun"
RUN_STOPPED = "run_stopped"
_STARTABLE = (RunState.DUE, RunState.HELD, RunState.MISSED, RunState.SKIPPED)


# --- the start -----------------------------------------------------------------------------------


def start_run(
    connection: Connection,
    run_id: int,
    *,
    digest: str,
    select_audience: Select[Any],
    now: datetime,
) -> int:
    """Freeze the audience and make the run ``dispatching``; return how many readers it has.

    *select_audience* selects subscriber ids. Raise Conflict when the run has begun already.
    """
    taken = connection.execute(
        update(_run)
        .where(_run.c.id == run_id, _run.c.state.in_(_STARTABLE), _run.c.started_at.is_(None))
        .values(
            state=RunState.DISPATCHING,
            reason="",
            digest=digest,
            started_at=now,
            finished_at=None,
            stopped=False,
        )
    )
    if taken.rowcount != 1:
        raise Conflict(f"run {run_id} has begun already, or does not exist")
    audience = select_audience.subquery()
    reader_id = audience.c[0]
    connection.execute(
        insert(_delivery).from_select(
            ["subscriber_id", "run_id", "state"],
            # In the order of the key: the rows are laid down one after another.
            select(reader_id, literal(run_id), literal(DeliveryState.PENDING.value)).order_by(
                reader_id
            ),
        )
    )
    if connection.dialect.name == "postgresql":
        # Else its statistics know no row of this run, and every window would read them all.
        connection.exec_driver_sql("ANALYZE delivery")
    counted = _count(connection, run_id)
    connection.execute(update(_run).where(_run.c.id == run_id).values(audience=counted))
    add_event(connection, "run_started", run_id=run_id, now=now, detail=f"{counted} readers")
    return counted


def _count(connection: Connection, run_id: int) -> int:
    rows = select(func.count()).select_from(_delivery).where(_delivery.c.run_id == run_id)
    return connection.scalar(rows) or 0


def add_event(
    connection: Connection,
    kind: str,
    *,
    now: datetime,
    run_id: int | None = None,
    subscriber_id: int | None = None,
    detail: str = "",
    raw: str = "",
) -> None:
    """Append one fact."""
    connection.execute(
        insert(_event).values(
            at=now, kind=kind, run_id=run_id, subscriber_id=subscriber_id, detail=detail, raw=raw
        )
    )


# --- the lease (S4) ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to claim readers of a run: every claim carries the fence."""

    run_id: int
    owner: str
    fence: int


def claim_lease(
    connection: Connection,
    run_id: int,
    owner: str,
    *,
    now: datetime,
    until: datetime,
    is_dead: Callable[[str], bool],
) -> Lease | None:
    """Take the run when nobody holds it, when the lease is over, or when its holder is dead.

    Return None when another live dispatcher holds it. Raise NotFound for a run that is not
    dispatching.
    """
    row = connection.execute(
        select(_run.c.owner, _run.c.lease_until)
        .where(_run.c.id == run_id, _run.c.state == RunState.DISPATCHING)
        .with_for_update()
    ).first()
    if row is None:
        raise NotFound(f"run {run_id} is not dispatching")
    free = row.owner is None or row.owner == owner or row.lease_until < now
    if not free and not is_dead(row.owner):
        return None
    fence = connection.scalar(
        update(_run)
        .where(_run.c.id == run_id)
        .values(owner=owner, fence=_run.c.fence + 1, lease_until=until)
        .returning(_run.c.fence)
    )
    assert fence is not None  # the row is locked by this transaction
    return Lease(run_id, owner, fence)


def release_lease(connection: Connection, lease: Lease) -> bool:
    """Let the run go; False when it was lost before."""
    done = connection.execute(
        update(_run)
        .where(_run.c.id == lease.run_id, _run.c.owner == lease.owner, _run.c.fence == lease.fence)
        .values(owner=None, lease_until=None)
    )
    return done.rowcount == 1


def begin_dispatch(
    connection: Connection, lease: Lease, relays: Iterable[str], *, now: datetime
) -> None:
    """Say which relays this owner may offer readers to, before it claims the first.

    What nobody can find out afterwards: settings change, and a row does not say who took it.
    """
    add_event(
        connection,
        DISPATCH_BEGUN,
        run_id=lease.run_id,
        now=now,
        detail=lease.owner,
        raw=" ".join(relays),
    )


def free_run(
    connection: Connection, run_id: int, *, now: datetime, is_dead: Callable[[str], bool]
) -> bool:
    """Take the run from a dispatcher that ended without letting it go; False while one has it.

    Under a new fence: workers share the run's, and who ended may only have been away.
    """
    lock_run(connection, run_id)
    if connection.scalar(select(_run.c.owner).where(_run.c.id == run_id)) is None:
        return True
    lease = claim_lease(connection, run_id, "workers", now=now, until=now, is_dead=is_dead)
    return lease is not None and release_lease(connection, lease)


# --- on the way ----------------------------------------------------------------------------------


def stop_run(connection: Connection, run_id: int, *, reason: str, now: datetime) -> None:
    """Make the dispatcher claim nobody more, until ``go_on``; *reason* says who wants it.

    Of several workers that stop it for one reason, only the first does: it is one stop.
    """
    stands = _run.c.stopped & (_run.c.reason == reason)
    stopped = connection.execute(
        update(_run)
        .where(_run.c.id == run_id, _run.c.state == RunState.DISPATCHING, ~stands)
        .values(stopped=True, reason=reason)
    )
    if stopped.rowcount:
        add_event(connection, RUN_STOPPED, run_id=run_id, now=now, detail=reason)


def was_stopped(connection: Connection, run_id: int, reason: str) -> bool:
    """True when the run was stopped for this *reason*, whoever let it go on since."""
    return count_stops(connection, run_id, reason) > 0


def count_stops(connection: Connection, run_id: int, reason: str) -> int:
    """Return how many times the run was stopped for this *reason*."""
    stops = select(func.count()).where(
        _event.c.run_id == run_id, _event.c.kind == RUN_STOPPED, _event.c.detail == reason
    )
    return connection.scalar(stops) or 0


def go_on(connection: Connection, run_id: int) -> None:
    """Let a stopped run be dispatched again."""
    connection.execute(
        update(_run)
        .where(_run.c.id == run_id, _run.c.state == RunState.DISPATCHING)
        .values(stopped=False, reason="")
    )


def lock_run(connection: Connection, run_id: int) -> None:
    """Wait for whoever writes a window of the run, and let nobody else do so meanwhile."""
    connection.execute(select(_run.c.id).where(_run.c.id == run_id).with_for_update())


def finish(connection: Connection, run_id: int, *, now: datetime) -> bool:
    """Make the run ``done`` when nothing is pending, sending or deferred; say whether it is."""
    lock_run(connection, run_id)  # a window that commits just now may leave a row waiting
    is_open = exists().where(_delivery.c.run_id == run_id, _delivery.c.state.in_(OPEN))
    done = connection.execute(
        update(_run)
        .where(_run.c.id == run_id, _run.c.state == RunState.DISPATCHING, ~is_open)
        .values(state=RunState.DONE, finished_at=now, owner=None, lease_until=None, stopped=False)
    )
    if done.rowcount:
        add_event(connection, "run_done", run_id=run_id, now=now)
        return True
    state = connection.scalar(select(_run.c.state).where(_run.c.id == run_id))
    return state == RunState.DONE
