from datetime import timedelta

import pytest
from sqlalchemy import select, update

from newsletter.model import IssueId, RunState
from newsletter.store import database, ledger, runs, schema

ISSUE = IssueId("2026-05-07")
HOUR = timedelta(hours=1)


@pytest.fixture
def run(engine, now):
    with database.write(engine) as connection:
        return runs.ensure_run(connection, ISSUE, slot_at=now, now=now)


def begin(engine, run, now):
    """What the ledger does when it freezes the audience."""
    with database.write(engine) as connection:
        connection.execute(
            update(schema.run)
            .where(schema.run.c.id == run.id)
            .values(state=RunState.DISPATCHING, started_at=now, digest="a" * 64)
        )


def test_a_run_is_made_once_for_each_issue_and_kind(engine, run, now):
    with database.write(engine) as connection:
        again = runs.ensure_run(connection, ISSUE, slot_at=now + HOUR, now=now)
        other = runs.ensure_run(connection, ISSUE, slot_at=now, now=now, kind="correction-1")
    assert again == run
    assert run.state is RunState.DUE
    assert other.id != run.id


def test_a_run_that_has_not_begun_can_be_held_missed_skipped_and_judged_anew(engine, run, now):
    for state in (RunState.HELD, RunState.DUE, RunState.MISSED, RunState.SKIPPED):
        with database.write(engine) as connection:
            assert runs.settle(connection, run.id, state, "why", now=now)
            found = runs.read_run(connection, ISSUE)
        assert (found.state, found.reason) == (state, "why")
        assert (found.finished_at is not None) == (state in {RunState.MISSED, RunState.SKIPPED})


def test_a_begun_run_is_neither_held_nor_missed_nor_skipped(engine, run, now):
    begin(engine, run, now)
    with database.write(engine) as connection:
        for state in (RunState.HELD, RunState.MISSED, RunState.SKIPPED):
            assert not runs.settle(connection, run.id, state, "late", now=now)
        assert runs.read_run(connection, ISSUE).state is RunState.DISPATCHING


def test_a_begun_run_is_unfinished_until_it_is_done(engine, run, now):
    with database.read(engine) as connection:
        assert runs.unfinished_runs(connection) == ()
    begin(engine, run, now)
    with database.read(engine) as connection:
        assert [found.id for found in runs.unfinished_runs(connection)] == [run.id]
        assert runs.read_run_by_id(connection, run.id).started_at == now


def test_runs_are_listed_from_an_instant_on(engine, run, now):
    with database.read(engine) as connection:
        assert [found.id for found in runs.runs_since(connection, now)] == [run.id]
        assert runs.runs_since(connection, now + HOUR) == ()
        assert runs.unfinished_runs(connection) == ()


def test_a_run_is_listed_by_its_end_not_by_its_slot(engine, run, now):
    def ended(start):
        with database.read(engine) as connection:
            return [found.id for found in runs.ended_since(connection, start)]

    begin(engine, run, now)
    assert ended(now) == []
    late = now + timedelta(days=9)
    with database.write(engine) as connection:
        ledger.stop_run(connection, run.id, reason="policy", now=late)
    assert ended(late + HOUR) == [run.id]  # it stands still
    with database.write(engine) as connection:
        connection.execute(update(schema.run).values(state="done", stopped=False, finished_at=late))
    assert (ended(late), ended(late + HOUR)) == ([run.id], [])


def test_the_identity_is_replaced_and_keeps_the_day_of_birth(engine, now):
    with database.write(engine) as connection:
        runs.lock_instance(connection)
        assert runs.read_mark(connection) is None
        runs.write_instance(connection, "one", now)
        runs.write_instance(connection, "two", now + HOUR)
    with database.read(engine) as connection:
        assert runs.read_mark(connection) == ("two", 0)
        assert runs.born_at(connection) == now
        assert connection.execute(select(schema.instance)).all() != []


def test_the_heartbeat_is_the_last_tick(engine, now):
    with database.write(engine) as connection:
        runs.write_instance(connection, "one", now)
        assert runs.read_heartbeat(connection) is None
        runs.beat(connection, now + HOUR)
        assert runs.read_heartbeat(connection) == now + HOUR


def test_a_chore_is_claimed_by_one_until_it_is_due_again(engine, now):
    with database.write(engine) as connection:
        assert runs.claim_chore(connection, "feeds", unless_since=now - HOUR, now=now)
        assert not runs.claim_chore(connection, "feeds", unless_since=now - HOUR, now=now)
        later = now + HOUR
        assert runs.claim_chore(connection, "feeds", unless_since=now, now=later)
        assert runs.chore_done_at(connection, "feeds") == later


def test_a_name_is_claimed_once_for_ever(engine, now):
    with database.write(engine) as connection:
        assert runs.claim_once(connection, "reminder:24:2026-05-07", now)
        assert not runs.claim_once(connection, "reminder:24:2026-05-07", now + HOUR)
        assert runs.claim_once(connection, "reminder:3:2026-05-07", now)
