"""Why a run does not go on: what its dispatches said as they ended, and since when.

In: a connection inside a transaction of the caller, a run. Out: its trouble, None without. Never:
an address (the caller hides those that relays quote), a run changed.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, exists, func, or_, select

from newsletter.model import DeliveryState, Run, RunState
from newsletter.store import schema
from newsletter.store.ledger import add_event

_event = schema.event
_delivery = schema.delivery
#: The event that says why a dispatch could not go on.
DISPATCH_FAILED = "dispatch_failed"
#: The reason of a dispatch that could not use its relay; the next one tries again.
RELAY = "relay"
# The relay has answered for whoever is in one of these.
_ANSWERED = (DeliveryState.SENT, DeliveryState.REFUSED)


class Trouble(NamedTuple):
    """Why a run stands: ``relay``, or why it stopped itself; in which words; since when."""

    reason: str
    said: str
    since: datetime


def keep_trouble(
    connection: Connection, run_id: int, *, reason: str, said: str, now: datetime
) -> None:
    """Write down why a dispatch of the run could not go on."""
    detail = f"{reason}: {said}"
    add_event(connection, DISPATCH_FAILED, run_id=run_id, now=now, detail=detail)


def find_trouble(connection: Connection, run: Run) -> Trouble | None:
    """Return what a run waits for: its relay, or a person since it stopped itself."""
    if run.state is not RunState.DISPATCHING:
        return None
    last = connection.execute(
        select(_event.c.at, _event.c.detail)
        .where(_event.c.run_id == run.id, _event.c.kind == DISPATCH_FAILED)
        .order_by(_event.c.id.desc())
        .limit(1)
    ).first()
    if last is None:
        return None
    reason, _, said = last.detail.partition(": ")
    if run.stopped:
        return Trouble(reason, said, last.at) if reason == run.reason else None
    since = _waits_since(connection, run.id) if reason == RELAY else None
    return Trouble(reason, said, since) if since else None


def _waits_since(connection: Connection, run_id: int) -> datetime | None:
    """Return when the relay first failed since it answered for a reader; None when nobody waits."""
    of_run = _delivery.c.run_id == run_id
    waits = select(exists().where(of_run, _delivery.c.state == DeliveryState.PENDING))
    if not connection.scalar(waits):
        return None
    answered_at = connection.scalar(
        select(func.max(_delivery.c.settled_at, type_=schema.Instant())).where(
            of_run, or_(*(_delivery.c.state == state for state in _ANSWERED))
        )
    )
    failed = (_event.c.run_id == run_id) & (_event.c.kind == DISPATCH_FAILED)
    is_relays = _event.c.detail.startswith(f"{RELAY}: ")
    # Whoever it refused may be to be written to again: that it stopped the run says it was heard.
    stopped_id = connection.scalar(select(func.max(_event.c.id)).where(failed, ~is_relays))
    failures = select(func.min(_event.c.at, type_=schema.Instant())).where(failed, is_relays)
    if stopped_id is not None:
        failures = failures.where(_event.c.id > stopped_id)
    if answered_at is not None:
        failures = failures.where(_event.c.at >= answered_at)
    since: datetime | None = connection.scalar(failures)
    return since
