"""What one dispatcher writes of a run, a window at a time; the edition it composes from.

In: a connection inside a transaction of the caller, the lease, results and intents. Out: which
intents were granted. Never: an intent granted to a reader who has left, whose address changed, or
under a fence that is no longer ours (S4).

One transaction holds the results since the last one and the intents of the next readers: whoever
finds ``sending`` afterwards knows that the dot may have left, and whoever finds ``pending`` knows
that it has not (DESIGN 6, late intent).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Update,
    bindparam,
    exists,
    insert,
    or_,
    select,
    update,
)

from newsletter.model import DeliveryState, Digest, Edition, IssueId, RunState
from newsletter.store import handover, prepared, schema
from newsletter.store.ledger import WAITING, Lease
from newsletter.store.waiting import IS_STILL_HERE

_run = schema.run
_delivery = schema.delivery
_subscriber = schema.subscriber
_event = schema.event
_edition = schema.edition
_DIALECTS = ("sqlite", "postgresql")


class Result(NamedTuple):
    """What became of one reader; ``intended``: the row was ``sending``."""

    subscriber_id: int
    intended: bool
    state: DeliveryState
    reason: str = ""
    reply: str = ""
    tries: int = 0
    drops: int = 0
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ledger says to one window: who may be sent to, and whether to go on."""

    granted: Collection[int] = ()  # whose dot may leave
    stopped: bool = False  # by a person or by itself: no more claims
    lost: bool = False  # somebody else holds the run: not one dot more


# --- reading -------------------------------------------------------------------------------------


def read_edition(connection: Connection, digest: str) -> Edition | None:
    """Return what a message is composed of: an edition without its pictures and its web copy."""
    row = connection.execute(
        select(
            _edition.c.issue_id,
            _edition.c.subject,
            _edition.c.preheader,
            _edition.c.sender,
            _edition.c.html,
            _edition.c.text,
            _edition.c.audience_rule,
        ).where(_edition.c.digest == digest)
    ).first()
    if row is None:
        return None
    return Edition(
        issue_id=IssueId(row.issue_id),
        subject=row.subject,
        preheader=row.preheader,
        sender=row.sender,
        html=row.html,
        text=row.text,
        web="",
        audience_rule=row.audience_rule,
        picks=(),
        pictures=(),
        digest=Digest(digest),
    )


# --- one window ----------------------------------------------------------------------------------


def commit_window(
    connection: Connection,
    lease: Lease,
    *,
    results: Sequence[Result],
    intents: Mapping[int, str],
    now: datetime,
    renew_until: datetime | None = None,
) -> Answer:
    """Record *results* and claim *intents*, all or nothing with the caller's transaction.

    An intent is a reader's id and the address that their message is written to. Results are
    recorded even when the lease is lost: they are facts about rows that this owner was sending. One
    that leaves a reader waiting in a run that is done makes it ``dispatching`` again.
    *renew_until* prolongs the lease.
    """
    holds, stopped = _check_lease(connection, lease, renew_until)
    if results:
        _record(connection, lease, results, now, holds)
        if not holds:
            _reopen_if_done(connection, lease.run_id)
    granted: Collection[int] = ()
    if holds and intents and not stopped:
        granted = _claim(connection, lease, intents, now)
    return Answer(granted, stopped, lost=not holds)


def _check_lease(
    connection: Connection, lease: Lease, renew_until: datetime | None
) -> tuple[bool, bool]:
    if renew_until is not None:
        connection.execute(_RENEW, {"run": lease.run_id, "mine": lease.fence, "at": renew_until})
    rows = prepared.fetch(connection, _LOOK, {"run": lease.run_id})
    if not rows:
        return False, False
    fence, state, stopped = rows[0]
    return fence == lease.fence and state == RunState.DISPATCHING, bool(stopped)


_LOOK = (
    select(_run.c.fence, _run.c.state, _run.c.stopped)
    .where(_run.c.id == bindparam("run"))
    .with_for_update(read=True)  # nobody takes the run while this window commits
)
_RENEW = (
    update(_run)
    .where(_run.c.id == bindparam("run"), _run.c.fence == bindparam("mine"))
    .values(lease_until=bindparam("at"))
)


def _reopen_if_done(connection: Connection, run_id: int) -> None:
    """Let a run go on that was done before the late answer about somebody given up as unknown."""
    waits = exists().where(_delivery.c.run_id == run_id, _delivery.c.state.in_(WAITING))
    connection.execute(
        update(_run)
        .where(_run.c.id == run_id, _run.c.state == RunState.DONE, waits)
        .values(state=RunState.DISPATCHING, finished_at=None)
    )


# --- claims --------------------------------------------------------------------------------------


def _claim(
    connection: Connection, lease: Lease, intents: Mapping[int, str], now: datetime
) -> Collection[int]:
    given = handover.hand_over(connection, intents)
    ours = {"run": lease.run_id, "me": lease.owner, "mine": lease.fence}
    dialect, at = connection.dialect.name, prepared.instant(connection, now)
    claimed = prepared.execute(connection, _CLAIM[dialect], {**given, **ours, "at": at})
    if claimed.rowcount == len(intents):
        return intents.keys()
    rows = prepared.fetch(connection, _SEE_CLAIMED[dialect], given | ours)
    return {row[0] for row in rows}


# Claimed by us; asked again, when the answer to a commit was lost, the claim stands.
_CLAIMED = (
    (_delivery.c.state == DeliveryState.SENDING)
    & (_delivery.c.owner == bindparam("me"))
    & (_delivery.c.fence == bindparam("mine"))
)


def _may_claim(address: ColumnElement[str]) -> ColumnElement[bool]:
    # Nobody who left is written to, nor an address that changed since it was read. Compared, not
    # ``exists``: of that PostgreSQL may make a table of all subscribers, for each window.
    still_at = (
        select(_subscriber.c.address)
        .where(_subscriber.c.id == _delivery.c.subscriber_id, *IS_STILL_HERE)
        .correlate(_delivery)
        .scalar_subquery()
    )
    return or_(_CLAIMED, (_delivery.c.state == DeliveryState.PENDING) & (still_at == address))


def _write_claim(dialect: str) -> Update:
    given = handover.choose(dialect, _may_claim, skips_locked=True)
    return (
        update(_delivery)
        .where(given.chosen)
        .values(
            state=DeliveryState.SENDING,
            owner=bindparam("me"),
            fence=bindparam("mine"),
            claimed_at=bindparam("at"),
            not_before=None,
            left_at=None,  # what a person left was an earlier doubt, which a late answer ended
            address=given.text,
        )
    )


_CLAIM = {dialect: _write_claim(dialect) for dialect in _DIALECTS}
_SEE_CLAIMED = {
    dialect: select(_delivery.c.subscriber_id).where(
        handover.choose(dialect, lambda _: _CLAIMED).chosen
    )
    for dialect in _DIALECTS
}


def are_being_sent(connection: Connection, lease: Lease, readers: Collection[int]) -> bool:
    """True when all these *readers* are still ``sending`` by this owner: nobody gave them up."""
    if not readers:
        return True
    given = handover.hand_over(connection, dict.fromkeys(readers, ""))
    ours = {"run": lease.run_id, "me": lease.owner, "mine": lease.fence}
    rows = prepared.fetch(connection, _SEE_CLAIMED[connection.dialect.name], given | ours)
    return len(rows) == len(readers)


# --- results -------------------------------------------------------------------------------------

# Ours: sending under our fence (or given up too early by somebody who believed us dead); or, when
# the answer came before the dot, a row that was never claimed.
_HELD = (
    or_(_delivery.c.state == DeliveryState.SENDING, _delivery.c.state == DeliveryState.UNKNOWN)
    & (_delivery.c.owner == bindparam("me"))
    & (_delivery.c.fence == bindparam("mine"))
)
_READER = (_delivery.c.run_id == bindparam("run")) & (
    _delivery.c.subscriber_id == bindparam("reader")
)
_OURS = _READER & _HELD
_UNCLAIMED = _READER & (_delivery.c.state == DeliveryState.PENDING)
_SETTLE: dict[str, Any] = {
    "state": bindparam("to"),
    "reason": bindparam("why"),
    "reply": bindparam("said"),
    "tries": bindparam("n_tries"),
    "drops": bindparam("n_drops"),
    "not_before": bindparam("due"),
    "settled_at": bindparam("at"),
}


def _write_sent(dialect: str) -> Update:
    given = handover.choose(dialect, lambda _: _HELD)
    return (
        update(_delivery)
        .where(given.chosen)
        .values(
            state=DeliveryState.SENT,
            reason="",
            reply=given.text,
            settled_at=bindparam("at"),
            owner=None,
            address=None,
        )
    )


_RECORD_SENT = {dialect: _write_sent(dialect) for dialect in _DIALECTS}
_RECORD_FREED = update(_delivery).where(_OURS).values(**_SETTLE, owner=None, address=None)
# The address is kept until a person or a proof has settled the row.
_RECORD_UNKNOWN = update(_delivery).where(_OURS).values(**_SETTLE)
_RECORD_UNCLAIMED = update(_delivery).where(_UNCLAIMED).values(**_SETTLE)
_SETTLED = frozenset({DeliveryState.SENT, DeliveryState.REFUSED})


def _record(
    connection: Connection,
    lease: Lease,
    results: Sequence[Result],
    now: datetime,
    holds: bool,  # noqa: FBT001 - private, one caller
) -> None:
    ours = {"run": lease.run_id, "me": lease.owner, "mine": lease.fence}
    sent = [result for result in results if result.state is DeliveryState.SENT]
    others = [result for result in results if result.state is not DeliveryState.SENT]
    if sent:
        given = handover.hand_over(
            connection, {result.subscriber_id: result.reply for result in sent}
        )
        at = prepared.instant(connection, now)
        statement = _RECORD_SENT[connection.dialect.name]
        prepared.execute(connection, statement, {**given, **ours, "at": at})
    for statement, group in _sort_by_statement(others, holds):
        connection.execute(statement, [_values(ours, result, now) for result in group])
    if others:
        connection.execute(insert(_event), [_to_event(lease, result, now) for result in others])


def _sort_by_statement(
    results: Sequence[Result],
    holds: bool,  # noqa: FBT001 - private, one caller
) -> list[tuple[Any, list[Result]]]:
    unclaimed = [result for result in results if not result.intended]
    claimed = [result for result in results if result.intended]
    unknown = [result for result in claimed if result.state is DeliveryState.UNKNOWN]
    freed = [result for result in claimed if result.state is not DeliveryState.UNKNOWN]
    groups = [(_RECORD_UNKNOWN, unknown), (_RECORD_FREED, freed)]
    if holds:  # an unclaimed row is another's once the fence is
        groups.append((_RECORD_UNCLAIMED, unclaimed))
    return [(statement, group) for statement, group in groups if group]


def _values(ours: Mapping[str, Any], result: Result, now: datetime) -> dict[str, Any]:
    values = {
        "run": ours["run"],
        "reader": result.subscriber_id,
        "to": result.state,
        "why": result.reason,
        "said": result.reply,
        "n_tries": result.tries,
        "n_drops": result.drops,
        "due": result.not_before,
        "at": now if result.state in _SETTLED else None,
    }
    return values | (dict(ours) if result.intended else {})


def _to_event(lease: Lease, result: Result, now: datetime) -> dict[str, Any]:
    return {
        "at": now,
        "kind": result.state.value,
        "run_id": lease.run_id,
        "subscriber_id": result.subscriber_id,
        "detail": result.reason,
        "raw": result.reply,
    }
