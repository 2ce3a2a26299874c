"""Batches of readers as jobs of Procrastinate, enqueued in the ledger's own transaction.

In: an engine, a begun run. Out: whether workers have it. Never: a reader's state; all the others of
a large audience before its canary has sung. A batch handed out twice does no harm, for only pending
rows are claimed. SQLite has no queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, func, select, text

from newsletter.delivery import canary
from newsletter.model import DeliveryState, Run
from newsletter.store import database, owners, schema
from newsletter.store.breakdown import tally
from newsletter.store.ledger import free_run, stop_run, was_stopped
from newsletter.store.trouble import keep_trouble
from newsletter.store.waiting import cancel_gone, wake_due

if TYPE_CHECKING:
    from procrastinate import App

BATCH = 500
JOBS_AT_ONCE = 1_000
TASK = "dispatch"
#: A worker without a heartbeat for so long is taken for dead, and its jobs are started again.
STALE_S = 30.0

_delivery = schema.delivery


def hand_over(
    engine: Engine, run: Run, *, now: datetime, stale_s: float = STALE_S, ended: int | None = None
) -> bool:
    """Give the run to the workers; False when there are none, or while a dispatcher has it.

    Nothing is enqueued while jobs of the run are waiting or running, but for the one that *ended*
    and says so itself.
    """
    if engine.dialect.name != "postgresql":
        return False
    with database.write(engine) as connection:
        if not count_workers(connection, stale_s):
            return False
        # Locks the run: two that ask at once would enqueue everything twice.
        is_dead = owners.death_prover(engine, connection)
        if not free_run(connection, run.id, now=now, is_dead=is_dead):
            return False
        if not _has_jobs(connection, run.id, but=ended):
            cancel_gone(connection, run.id)
            wake_due(connection, run.id, now=now)
            if not _asks_canary(connection, run, now):
                enqueue(connection, run.id)
        return True


def _asks_canary(connection: Connection, run: Run, now: datetime) -> bool:
    """Enqueue the readers who go first, alone; False once all others may follow.

    Judged when its job ended. When most of it was put off nobody follows: it is asked again as its
    readers fall due.
    """
    size = canary.measure(run.audience)
    if not size or _have_followed(connection, run.id, size):
        return False
    if was_stopped(connection, run.id, "canary"):
        return False  # a person let them go
    heard = tally(connection, run.id)
    if unasked := canary.count_unasked(heard):
        _enqueue_first(connection, run.id, unasked)
        return True
    answer = canary.recall(heard)
    if answer.is_dead:
        keep_trouble(connection, run.id, reason="canary", said=answer.said, now=now)
        stop_run(connection, run.id, reason="canary", now=now)
    return answer.is_dead or not answer.sings


def _have_followed(connection: Connection, run_id: int, size: int) -> bool:
    """True when as many were sent as go first; counts no more of them than that."""
    sent = (
        select(_delivery.c.subscriber_id)
        .where(_delivery.c.run_id == run_id, _delivery.c.state == DeliveryState.SENT)
        .limit(size)
        .subquery()
    )
    return (connection.scalar(select(func.count()).select_from(sent)) or 0) >= size


def count_workers(connection: Connection, stale_s: float = STALE_S) -> int:
    """Count the workers whose heartbeat is fresh."""
    alive = text(
        "SELECT count(*) FROM procrastinate_workers "
        "WHERE last_heartbeat > now() - make_interval(secs => :stale)"
    )
    return connection.scalar(alive, {"stale": stale_s}) or 0


def _has_jobs(connection: Connection, run_id: int, *, but: int | None) -> bool:
    jobs = text(
        "SELECT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE task_name = :task "
        "AND status IN ('todo', 'doing') AND (args->>'run')::bigint = :run AND id != :but)"
    )
    return bool(connection.scalar(jobs, {"task": TASK, "run": run_id, "but": but or 0}))


def enqueue(connection: Connection, run_id: int, *, size: int = BATCH) -> int:
    """Enqueue a job for each batch of pending readers, in the caller's transaction."""
    batches = find_batches(connection, run_id, size)
    _defer(connection, [{"run": run_id, "after": after, "until": at} for after, at in batches])
    return len(batches)


def _enqueue_first(connection: Connection, run_id: int, count: int) -> None:
    """Enqueue one job for the first *count* pending readers, which says when it ended."""
    first = (
        select(_delivery.c.subscriber_id)
        .where(_delivery.c.run_id == run_id, _delivery.c.state == DeliveryState.PENDING)
        .order_by(_delivery.c.subscriber_id)
        .limit(count)
        .subquery()
    )
    until = connection.scalar(select(func.max(first.c.subscriber_id)))
    if until is not None:
        _defer(connection, [{"run": run_id, "after": -1, "until": until, "first": True}])


def _defer(connection: Connection, jobs: Sequence[Mapping[str, Any]]) -> None:
    app = _writer().with_connector(_connector())
    made = [
        app.configure_task(TASK, lock=f"{job['run']}:{job['after']}").make_new_job(**job)
        for job in jobs
    ]
    # Many in a statement: one by one, ten million readers would take half a minute.
    for place in range(0, len(made), JOBS_AT_ONCE):
        app.job_manager.batch_defer_jobs(
            made[place : place + JOBS_AT_ONCE],
            connection=connection.connection.driver_connection,
        )


def find_batches(connection: Connection, run_id: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges (after, until] of ids that hold *size* pending readers each."""
    place = func.row_number().over(order_by=_delivery.c.subscriber_id) - 1
    pending = (
        select(_delivery.c.subscriber_id, (place // size).label("batch"))
        .where(_delivery.c.run_id == run_id, _delivery.c.state == DeliveryState.PENDING)
        .subquery()
    )
    rows = connection.execute(
        select(func.min(pending.c.subscriber_id), func.max(pending.c.subscriber_id))
        .group_by(pending.c.batch)
        .order_by(pending.c.batch)
    )
    return [(row[0] - 1, row[1]) for row in rows]


@cache
def _writer() -> App:
    from procrastinate import App

    return App(connector=_connector())


@cache
def _connector() -> Any:
    from procrastinate import SyncPsycopgConnector

    return SyncPsycopgConnector()  # never opened: jobs go through the ledger's own connection
