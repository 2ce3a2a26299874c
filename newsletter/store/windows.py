"""What one dispatcher reads and writes of a run, a window at a time.

In: a connection inside a transaction of the caller, the lease, results and intents. Out: pages of
readers still to be reached; which intents were granted. Never: an intent granted to a reader who
has left, whose address changed, or under a fence that is no longer ours (S4).

One transaction holds the results since the last one and the intents of the next readers: whoever
finds ``sending`` afterwards knows that the dot may have left, and whoever finds ``pending`` knows
that it has not (DESIGN 6, late intent).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    bindparam,
    exists,
    insert,
    or_,
    select,
    update,
)

from newsletter.model import DeliveryState, Digest, Edition, IssueId, RunState
from newsletter.store import schema
from newsletter.store.ledger import GONE, LAST_ID, Lease

_run = schema.run
_delivery = schema.delivery
_subscriber = schema.subscriber
_suppression = schema.suppression
_event = schema.event
_edition = schema.edition


class Picked(NamedTuple):
    """A reader still to be reached, and what their message is spliced with."""

    subscriber_id: int
    tries: int
    drops: int
    address: str
    first_name: str
    last_name: str
    organisation: str
    profile: str
    region: str
    department: str


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

    granted: Mapping[int, str] = field(default_factory=dict)  # id → the address to write to
    stopped: bool = False  # a person wants no more claims
    lost: bool = False  # somebody else holds the run: not one dot more


# --- reading -------------------------------------------------------------------------------------

_PICK = (
    select(
        _delivery.c.subscriber_id,
        _delivery.c.tries,
        _delivery.c.drops,
        _subscriber.c.address,
        _subscriber.c.first_name,
        _subscriber.c.last_name,
        _subscriber.c.organisation,
        _subscriber.c.profile,
        _subscriber.c.region,
        _subscriber.c.department,
    )
    .join(_subscriber, _subscriber.c.id == _delivery.c.subscriber_id)
    .where(
        _delivery.c.run_id == bindparam("run"),
        _delivery.c.state == DeliveryState.PENDING,
        _delivery.c.subscriber_id > bindparam("after"),
        _delivery.c.subscriber_id <= bindparam("until"),
        _subscriber.c.state.not_in(GONE),
        _subscriber.c.address.is_not(None),
    )
    .order_by(_delivery.c.subscriber_id)
    .limit(bindparam("size"))
)


def pick(
    connection: Connection, run_id: int, *, after: int, size: int, until: int = LAST_ID
) -> list[Picked]:
    """Return the next pending readers whose id is in (*after*, *until*]; claim nobody."""
    rows = connection.execute(_PICK, {"run": run_id, "after": after, "until": until, "size": size})
    return [Picked._make(row) for row in rows]


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
    intents: Collection[int],
    now: datetime,
    renew_until: datetime | None = None,
) -> Answer:
    """Record *results* and claim *intents*, all or nothing with the caller's transaction.

    Results are recorded even when the lease is lost: they are facts about rows that this owner
    was sending. *renew_until* prolongs the lease.
    """
    holds, stopped = _check_lease(connection, lease, renew_until)
    if results:
        _record(connection, lease, results, now, holds)
    granted: Mapping[int, str] = {}
    if holds and intents and not stopped:
        granted = _claim(connection, lease, intents, now)
    return Answer(granted, stopped, lost=not holds)


def _check_lease(
    connection: Connection, lease: Lease, renew_until: datetime | None
) -> tuple[bool, bool]:
    if renew_until is not None:
        connection.execute(_RENEW, {"run": lease.run_id, "mine": lease.fence, "at": renew_until})
    row = connection.execute(_LOOK, {"run": lease.run_id}).first()
    holds = row is not None and row.fence == lease.fence and row.state == RunState.DISPATCHING
    return holds, bool(row and row.stopped)


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


def _claim(
    connection: Connection, lease: Lease, intents: Collection[int], now: datetime
) -> Mapping[int, str]:
    rows = connection.execute(
        _CLAIM[connection.dialect.name],
        {
            "run": lease.run_id,
            "ids": list(intents),
            "new_owner": lease.owner,
            "new_fence": lease.fence,
            "now": now,
        },
    )
    return {row[0]: row[1] for row in rows}


def _claim_statement(*, skip_locked: bool) -> Any:
    wanted: Any = bindparam("ids", expanding=True)
    is_wanted: ColumnElement[bool] = _delivery.c.subscriber_id.in_(wanted)
    if skip_locked:
        # Locked once and joined by the key: as a subquery PostgreSQL may lock the window again
        # for each row of the run.
        locked = (
            select(_delivery.c.subscriber_id)
            .where(_delivery.c.run_id == bindparam("run"), is_wanted)
            .with_for_update(skip_locked=True)
            .cte("locked")
        )
        is_wanted = _delivery.c.subscriber_id == locked.c.subscriber_id
    # Asked again by ourselves, when the answer to a commit was lost: the claim stands.
    claimed_before = (
        (_delivery.c.state == DeliveryState.SENDING)
        & (_delivery.c.owner == bindparam("new_owner"))
        & (_delivery.c.fence == bindparam("new_fence"))
    )
    address = (
        select(_subscriber.c.address)
        .where(_subscriber.c.id == _delivery.c.subscriber_id)
        .scalar_subquery()
    )
    return (
        update(_delivery)
        .where(
            _delivery.c.run_id == bindparam("run"),
            is_wanted,
            or_(_delivery.c.state == DeliveryState.PENDING, claimed_before),
            exists().where(
                _subscriber.c.id == _delivery.c.subscriber_id,
                _subscriber.c.state.not_in(GONE),
                _subscriber.c.address.is_not(None),
            ),
        )
        .values(
            state=DeliveryState.SENDING,
            owner=bindparam("new_owner"),
            fence=bindparam("new_fence"),
            claimed_at=bindparam("now"),
            not_before=None,
            address=address,
        )
        .returning(_delivery.c.subscriber_id, _delivery.c.address)
    )


_CLAIM = {
    "sqlite": _claim_statement(skip_locked=False),
    "postgresql": _claim_statement(skip_locked=True),
}


# Ours: sending under our fence (or given up too early by somebody who believed us dead); or, when
# the answer came before the dot, a row that was never claimed.
_OURS = (
    (_delivery.c.run_id == bindparam("run"))
    & (_delivery.c.subscriber_id == bindparam("reader"))
    & or_(_delivery.c.state == DeliveryState.SENDING, _delivery.c.state == DeliveryState.UNKNOWN)
    & (_delivery.c.owner == bindparam("me"))
    & (_delivery.c.fence == bindparam("mine"))
)
_UNCLAIMED = (
    (_delivery.c.run_id == bindparam("run"))
    & (_delivery.c.subscriber_id == bindparam("reader"))
    & (_delivery.c.state == DeliveryState.PENDING)
)
_SETTLE: dict[str, Any] = {
    "state": bindparam("to"),
    "reason": bindparam("why"),
    "reply": bindparam("said"),
    "tries": bindparam("n_tries"),
    "drops": bindparam("n_drops"),
    "not_before": bindparam("due"),
    "settled_at": bindparam("at"),
}
_RECORD_SENT = (
    update(_delivery)
    .where(_OURS)
    .values(
        state=DeliveryState.SENT,
        reason="",
        reply=bindparam("said"),
        settled_at=bindparam("at"),
        owner=None,
        address=None,
    )
)
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
        _record_sent(connection, ours, sent, now)
    for statement, group in _sort_by_statement(others, holds):
        connection.execute(statement, [_values(ours, result, now) for result in group])
    if others:
        connection.execute(insert(_event), [_to_event(lease, result, now) for result in others])


def _record_sent(
    connection: Connection, ours: Mapping[str, Any], sent: Sequence[Result], now: datetime
) -> None:
    """Record the good news by the driver itself: half the time of a message's ledger."""
    sql, names, fixed = _compile_sent(connection.dialect)
    same = {**fixed, **ours, "at": _INSTANT.process_bind_param(now, connection.dialect)}
    rows = [same | {"reader": result.subscriber_id, "said": result.reply} for result in sent]
    if names is None:
        connection.exec_driver_sql(sql, rows)
    else:
        pick_values = itemgetter(*names)
        connection.exec_driver_sql(sql, [pick_values(row) for row in rows])


@cache
def _compile_sent(dialect: Dialect) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
    """Return the statement, the order of its values (None: by name), and those always the same."""
    compiled = _RECORD_SENT.compile(dialect=dialect)
    names = tuple(compiled.positiontup) if compiled.positiontup else None
    return str(compiled), names, dict(compiled.params)


_INSTANT = schema.Instant()


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
