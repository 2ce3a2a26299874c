"""What a window costs, however large the run, and what becomes of answers that come late."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text, update

from newsletter.model import DeliveryState
from newsletter.store import (
    breakdown,
    database,
    handover,
    ledger,
    owners,
    prepared,
    runs,
    schema,
    settling,
    waiting,
    windows,
)
from tests.delivery.scenery import start_run, states_of
from tests.waiting import wait_until


def test_the_address_of_another_reader_of_the_window_is_not_granted(engine, now):
    """Two swapped their addresses since they were read: neither is written to at the old one."""
    run_id = start_run(engine, now, readers=3)
    with database.write(engine) as connection:
        lease = ledger.claim_lease(
            connection, run_id, "me", now=now, until=now, is_dead=lambda _: False
        )
        first, second, third = waiting.pick(connection, run_id, after=-1, size=3)
        intents = {
            first.subscriber_id: second.address,
            second.subscriber_id: first.address,
            third.subscriber_id: third.address,
        }
        answer = windows.commit_window(connection, lease, results=(), intents=intents, now=now)
    assert answer.granted == {third.subscriber_id}


@pytest.fixture
def explain(postgres_engine, now):
    """Return what PostgreSQL reads of which table, for a statement over the last 64 of 3,000."""
    run_id = start_run(postgres_engine, now, readers=3_000)
    with postgres_engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")
        connection.commit()

    def ask(statement, **values):
        with database.read(postgres_engine) as connection:
            rows = waiting.pick(connection, run_id, after=-1, size=3_000)[-64:]
            values |= {
                "run": run_id, "me": "me", "mine": 1, "at": now, "size": 64,
                "after": rows[0].subscriber_id - 1, "until": rows[-1].subscriber_id,
                **handover.hand_over(connection, {row.subscriber_id: row.address for row in rows}),
            }  # fmt: skip
            query = prepared._prepare(statement, connection.dialect)
            result = connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, TIMING OFF) {query.sql}", query.arrange(query.fixed | values)
            )
            plan = "\n".join(row[0] for row in result)
        reads = re.findall(r"Scan.* on (delivery|subscriber).*actual rows=(\d+) loops=(\d+)", plan)
        return {
            table: sum(int(rows) * int(loops) for name, rows, loops in reads if name == table)
            for table in ("delivery", "subscriber")
        }

    return ask


@pytest.mark.parametrize(
    "statement",
    [windows._CLAIM["postgresql"], windows._RECORD_SENT["postgresql"], waiting._PICK],
    ids=["claim", "record", "pick"],
)
def test_a_window_reads_no_more_rows_than_its_own(explain, statement):
    reads = explain(statement)
    assert reads["delivery"] <= 2 * 64  # found by its key, met again by its place
    assert reads["subscriber"] <= 64


def test_a_look_for_who_waits_passes_the_batch_at_most(postgres_engine, now):
    """The planner knows the run from its start, when all were pending."""
    run_id = start_run(postgres_engine, now, readers=3_000)
    with postgres_engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")
        connection.commit()
    with database.write(postgres_engine) as connection:
        rows = waiting.pick(connection, run_id, after=-1, size=3_000)
        done = schema.delivery.c.subscriber_id <= rows[2_500].subscriber_id
        connection.execute(update(schema.delivery).where(done).values(state=DeliveryState.SENT))
    values = {
        "run": run_id, "after": rows[1_000].subscriber_id, "until": rows[1_500].subscriber_id,
    }  # fmt: skip
    with database.read(postgres_engine) as connection:
        query = prepared._prepare(waiting._LOOK_FOR_WAITING, connection.dialect)
        plan = connection.exec_driver_sql(f"EXPLAIN ANALYZE {query.sql}", query.fixed | values)
        said = "\n".join(row[0] for row in plan)
    assert "Seq Scan" not in said
    assert sum(map(int, re.findall(r"Rows Removed by Filter: (\d+)", said))) <= 500


def test_a_result_is_kept_though_its_row_changed_while_it_waited(postgres_engine, now):
    """A bounce may be quicker than our note of the 250: its transaction holds the row."""
    run_id = start_run(postgres_engine, now, readers=3)
    with database.write(postgres_engine) as connection:
        lease = ledger.claim_lease(
            connection, run_id, "me", now=now, until=now, is_dead=lambda _: False
        )
        rows = waiting.pick(connection, run_id, after=-1, size=3)
        intents = {row.subscriber_id: row.address for row in rows}
        windows.commit_window(connection, lease, results=(), intents=intents, now=now)
    results = [
        windows.Result(reader, True, DeliveryState.SENT, reply="250 Ok") for reader in intents
    ]

    def record():
        with database.write(postgres_engine) as connection:
            windows.commit_window(connection, lease, results=results, intents={}, now=now)

    with ThreadPoolExecutor(1) as pool:
        with database.write(postgres_engine) as bounce:
            bounce.execute(update(schema.delivery).values(bounced_at=now))
            recorded = pool.submit(record)
            wait_until(lambda: _somebody_waits(postgres_engine))
        recorded.result()
    with database.read(postgres_engine) as connection:
        kept = connection.execute(
            select(schema.delivery.c.state, schema.delivery.c.reply, schema.delivery.c.bounced_at)
        ).all()
    assert kept == [("sent", "250 Ok", now)] * 3


@pytest.fixture
def given_up(now):
    """Begin a run whose only reader was given up as unknown while its owner lives.

    Return the run, the owner's lease, and what the owner hears of the reader at last.
    """

    def begin(engine):
        run_id = start_run(engine, now, readers=1)
        with database.write(engine) as connection:
            lease = ledger.claim_lease(
                connection, run_id, "me", now=now, until=now, is_dead=lambda _: False
            )
            (row,) = waiting.pick(connection, run_id, after=-1, size=1)
            intents = {row.subscriber_id: row.address}
            windows.commit_window(connection, lease, results=(), intents=intents, now=now)
            owners.bury_dead(connection, run_id, is_dead=lambda _: True, now=now)
        late = windows.Result(
            row.subscriber_id, True, DeliveryState.DEFERRED, reply="451 later", not_before=now
        )
        return run_id, lease, late

    return begin


def _state_of(engine, run_id):
    with database.read(engine) as connection:
        return runs.read_run_by_id(connection, run_id).state


def test_a_late_answer_that_leaves_a_reader_waiting_reopens_a_run_that_is_done(
    engine, given_up, now
):
    run_id, lease, late = given_up(engine)
    with database.write(engine) as connection:
        assert ledger.finish(connection, run_id, now=now)
    with database.write(engine) as connection:
        windows.commit_window(connection, lease, results=[late], intents={}, now=now)
    assert _state_of(engine, run_id) == "dispatching"
    assert list(states_of(engine, run_id).values()) == ["deferred"]


def test_a_reader_left_before_a_late_answer_is_asked_about_when_unknown_again(
    engine, given_up, now
):
    run_id, lease, late = given_up(engine)
    again = late._replace(state=DeliveryState.UNKNOWN, reply="", not_before=None)
    with database.write(engine) as connection:
        assert settling.leave_unknown(connection, run_id, now=now) == 1
        windows.commit_window(connection, lease, results=[late], intents={}, now=now)
        waiting.wake_due(connection, run_id, now=now)
        (row,) = waiting.pick(connection, run_id, after=-1, size=1)
        intents = {row.subscriber_id: row.address}
        windows.commit_window(connection, lease, results=(), intents=intents, now=now)
        windows.commit_window(connection, lease, results=[again], intents={}, now=now)
        tally = breakdown.tally(connection, run_id)
        assert (tally.unknown, tally.left) == (1, 0)
        (doubt,) = settling.unknown_readers(connection, run_id)
        assert doubt.subscriber_id == row.subscriber_id
        assert settling.resend_unknown(connection, run_id, now=now) == 1


def test_a_late_answer_that_settles_a_reader_leaves_a_run_done(engine, given_up, now):
    run_id, lease, late = given_up(engine)
    with database.write(engine) as connection:
        assert ledger.finish(connection, run_id, now=now)
        sent = late._replace(state=DeliveryState.SENT)
        windows.commit_window(connection, lease, results=[sent], intents={}, now=now)
    assert _state_of(engine, run_id) == "done"


def test_a_late_answer_about_a_reader_settled_since_leaves_a_run_done(engine, given_up, now):
    run_id, lease, late = given_up(engine)
    with database.write(engine) as connection:
        assert ledger.finish(connection, run_id, now=now)
        ids = [late.subscriber_id]
        assert settling.settle_present(connection, run_id, ids, proof="in the log", now=now)
        windows.commit_window(connection, lease, results=[late], intents={}, now=now)
    assert _state_of(engine, run_id) == "done"


def test_a_run_is_not_done_before_the_window_that_is_just_being_written(
    postgres_engine, given_up, now
):
    run_id, lease, late = given_up(postgres_engine)

    def finish():
        with database.write(postgres_engine) as connection:
            return ledger.finish(connection, run_id, now=now)

    with ThreadPoolExecutor(1) as pool:
        with database.write(postgres_engine) as connection:
            windows.commit_window(connection, lease, results=[late], intents={}, now=now)
            finished = pool.submit(finish)
            wait_until(lambda: _somebody_waits(postgres_engine))
        assert not finished.result()
    assert _state_of(postgres_engine, run_id) == "dispatching"


def _somebody_waits(engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))
