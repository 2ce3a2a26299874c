"""Run rows, this database's identity, the heartbeat and the chores of the tick.

In: a connection inside a transaction of the caller, values of the model, `now`. Out: runs; True
when a guarded write took effect. Never: a decision (``schedule``), a delivery (``ledger``), nor a
write to a started run that a dispatcher's fence should guard (S4).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, insert, select, text, update

from newsletter.model import Digest, IssueId, Run, RunId, RunState
from newsletter.store import schema
from newsletter.store.database import dialect_insert

_run = schema.run
_instance = schema.instance
_chore = schema.chore
# What has not begun may still be held, missed, skipped, or judged anew.
_NOT_BEGUN = (RunState.DUE, RunState.HELD, RunState.MISSED, RunState.SKIPPED)
# More runs than anybody loses with a database: nineteen years of a weekly letter.
LOST_RUNS = 1_000


# --- runs ----------------------------------------------------------------------------------------


def ensure_run(
    connection: Connection,
    issue_id: IssueId,
    *,
    slot_at: datetime,
    now: datetime,
    kind: str = "issue",
) -> Run:
    """Return the run of (issue, kind), made ``due`` when there was none (S3).

    Of two processes that come at once, one inserts and both read the same row.
    """
    connection.execute(
        dialect_insert(connection, _run)
        .values(
            issue_id=issue_id,
            kind=kind,
            slot_at=slot_at,
            state=RunState.DUE,
            created_at=now,
            **_choose_id(connection),
        )
        .on_conflict_do_nothing()
    )
    found = read_run(connection, issue_id, kind=kind)
    assert found is not None  # inserted above, and no run is ever deleted
    return found


def _choose_id(connection: Connection) -> dict[str, int]:
    """Choose the id of a new run on SQLite, which knows the highest it has, not those it lost."""
    if connection.dialect.name == "postgresql":
        return {}
    spent = connection.scalar(select(_instance.c.spent_run_id)) or 0
    return {"id": max(spent, _last_id(connection)) + 1}


def _last_id(connection: Connection) -> int:
    return connection.scalar(select(func.max(_run.c.id))) or 0


def skip_ids(connection: Connection) -> None:
    """Leave out the next ids of runs: what was lost with a database may have had them.

    Links, Message-IDs and envelopes are minted from them: no two issues may share one.
    """
    if connection.dialect.name == "postgresql":
        sequence = "pg_get_serial_sequence('run', 'id')"
        skip = text(f"SELECT setval({sequence}, nextval({sequence}) + :count)")
        connection.execute(skip, {"count": LOST_RUNS})
        return
    spent = func.max(_instance.c.spent_run_id, _last_id(connection)) + LOST_RUNS
    connection.execute(update(_instance).values(spent_run_id=spent))


def read_run(connection: Connection, issue_id: str, *, kind: str = "issue") -> Run | None:
    row = connection.execute(
        select(_run).where(_run.c.issue_id == issue_id, _run.c.kind == kind)
    ).first()
    return _to_run(row) if row else None


def read_run_by_id(connection: Connection, run_id: RunId) -> Run | None:
    row = connection.execute(select(_run).where(_run.c.id == run_id)).first()
    return _to_run(row) if row else None


def unfinished_runs(connection: Connection) -> tuple[Run, ...]:
    """Return the runs that began and are not done, oldest first."""
    rows = connection.execute(
        select(_run)
        .where(_run.c.started_at.is_not(None), _run.c.state == RunState.DISPATCHING)
        .order_by(_run.c.started_at, _run.c.id)
    )
    return tuple(_to_run(row) for row in rows)


def runs_since(connection: Connection, start: datetime) -> tuple[Run, ...]:
    """Return the runs whose slot is not before *start*, in order."""
    rows = connection.execute(
        select(_run).where(_run.c.slot_at >= start).order_by(_run.c.slot_at, _run.c.id)
    )
    return tuple(_to_run(row) for row in rows)


def ended_since(connection: Connection, start: datetime) -> tuple[Run, ...]:
    """Return the runs done not before *start*, and all that stand still, whatever their slot."""
    is_over = (_run.c.state == RunState.DONE) & (_run.c.finished_at >= start)
    stands = (_run.c.state == RunState.DISPATCHING) & _run.c.stopped
    rows = connection.execute(
        select(_run).where(is_over | stands).order_by(_run.c.slot_at, _run.c.id)
    )
    return tuple(_to_run(row) for row in rows)


def settled_since(connection: Connection, start: datetime) -> set[IssueId]:
    """Return the issues of slots not before *start* that have begun, or were skipped."""
    return {
        run.issue_id
        for run in runs_since(connection, start)
        if run.started_at or run.state is RunState.SKIPPED
    }


def settle(
    connection: Connection, run_id: RunId, state: RunState, reason: str, *, now: datetime
) -> bool:
    """Give a run that has not begun another state and reason; False when it has begun.

    ``missed`` and ``skipped`` end it, until a person starts it.
    """
    ended = state in {RunState.MISSED, RunState.SKIPPED}
    result = connection.execute(
        update(_run)
        .where(_run.c.id == run_id, _run.c.started_at.is_(None), _run.c.state.in_(_NOT_BEGUN))
        .values(state=state, reason=reason, finished_at=now if ended else None)
    )
    return result.rowcount == 1


def keep_key_version(connection: Connection, run_id: RunId, version: int) -> None:
    """Write, as a run starts, which key its messages are minted with."""
    connection.execute(update(_run).where(_run.c.id == run_id).values(key_version=version))


def _to_run(row: Row[Any]) -> Run:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name
    del values["created_at"]
    values["state"] = RunState(values["state"])
    values["digest"] = Digest(values["digest"]) if values["digest"] else None
    return Run(**values)


# --- this database itself ------------------------------------------------------------------------


def lock_instance(connection: Connection) -> None:
    """Let one process at a time look at the identity and change it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE instance IN SHARE ROW EXCLUSIVE MODE"))
    # SQLite: the write transaction began IMMEDIATE and excludes every other writer already.


class Mark(NamedTuple):
    """Which database this is, and how far it has come."""

    id: str
    generation: int


def read_mark(connection: Connection) -> Mark | None:
    """Return this database's mark, None in a database that nothing has run on yet."""
    row = connection.execute(select(_instance.c.id, _instance.c.generation)).first()
    return Mark(row.id, row.generation) if row else None


def write_instance(connection: Connection, instance_id: str, now: datetime) -> None:
    """Make *instance_id* the only identity of this database."""
    known = connection.execute(update(_instance).values(id=instance_id))
    if not known.rowcount:
        connection.execute(insert(_instance).values(id=instance_id, created_at=now))


def advance(connection: Connection, known: Mark) -> None:
    """Raise the generation of the database that is *known*; an older state of it stays so."""
    connection.execute(
        update(_instance)
        .where(_instance.c.id == known.id, _instance.c.generation >= known.generation)
        .values(generation=_instance.c.generation + 1)
    )


def born_at(connection: Connection) -> datetime | None:
    """Return when this database first ran: slots before it concern nobody."""
    return connection.scalar(select(_instance.c.created_at))


def beat(connection: Connection, now: datetime) -> None:
    """Write that a tick was here (S6)."""
    connection.execute(update(_instance).values(heartbeat_at=now))


def read_heartbeat(connection: Connection) -> datetime | None:
    return connection.scalar(select(_instance.c.heartbeat_at))


# --- chores --------------------------------------------------------------------------------------


def claim_chore(
    connection: Connection, name: str, *, unless_since: datetime, now: datetime
) -> bool:
    """Mark a chore done now unless it was done after *unless_since*; True for the one who does it.

    Marked before it is done: a chore that kills the process does not kill every tick after it.
    """
    claimed = connection.execute(
        dialect_insert(connection, _chore)
        .values(name=name, done_at=now)
        .on_conflict_do_update(
            index_elements=[_chore.c.name],
            set_={"done_at": now},
            where=_chore.c.done_at <= unless_since,
        )
        .returning(_chore.c.name)
    )
    return claimed.first() is not None


def claim_once(connection: Connection, name: str, now: datetime) -> bool:
    """True for the first who claims this name, ever."""
    claimed = connection.execute(
        dialect_insert(connection, _chore)
        .values(name=name, done_at=now)
        .on_conflict_do_nothing()
        .returning(_chore.c.name)
    )
    return claimed.first() is not None


def chore_done_at(connection: Connection, name: str) -> datetime | None:
    return connection.scalar(select(_chore.c.done_at).where(_chore.c.name == name))
