"""Why a run does not go on, and since when."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from newsletter.store import database, ledger, runs, schema
from newsletter.store.trouble import find_trouble, keep_trouble
from tests.delivery.scenery import start_run

MINUTE = timedelta(minutes=1)


@pytest.fixture
def run_id(engine, now):
    return start_run(engine, now)


@pytest.fixture
def fail(engine, run_id):
    def write(at, reason="relay", said="relay.test cannot be reached"):
        with database.write(engine) as connection:
            keep_trouble(connection, run_id, reason=reason, said=said, now=at)

    return write


@pytest.fixture
def find(engine, run_id):
    def read():
        with database.read(engine) as connection:
            return find_trouble(connection, runs.read_run_by_id(connection, run_id))

    return read


def settle(engine, state, at, *, all_of_them=False):
    column = schema.delivery.c.subscriber_id
    with database.write(engine) as connection:
        last = connection.scalar(select(func.max(column)))
        rows = update(schema.delivery).values(state=state, settled_at=at)
        connection.execute(rows if all_of_them else rows.where(column == last))


def test_a_run_whose_dispatches_end_well_has_no_trouble(find):
    assert find() is None


def test_a_relay_that_fails_does_so_since_it_first_failed(find, fail, now):
    fail(now)
    fail(now + MINUTE, said="relay.test: 421 busy")
    assert find() == ("relay", "relay.test: 421 busy", now)


def test_a_relay_that_stopped_the_run_fails_anew_once_the_refused_are_written_to_again(
    find, fail, now
):
    fail(now)
    fail(now + MINUTE, reason="policy", said="550 5.7.1 no")  # and all are to be retried since
    fail(now + 2 * MINUTE)
    assert find().since == now + 2 * MINUTE


@pytest.mark.parametrize("state", ["sent", "refused"])
def test_a_relay_fails_no_more_once_it_has_answered_for_a_reader(find, fail, engine, now, state):
    fail(now)
    settle(engine, state, now + MINUTE)
    assert find() is None
    fail(now + 2 * MINUTE)
    assert find().since == now + 2 * MINUTE


def test_nobody_waits_for_a_relay_when_nobody_is_pending(find, fail, engine, now):
    fail(now)
    settle(engine, "deferred", None, all_of_them=True)
    assert find() is None


def test_a_run_that_stopped_itself_says_why_until_somebody_goes_on(find, fail, engine, run_id, now):
    fail(now, reason="configuration", said="535 5.7.8: no")
    with database.write(engine) as connection:
        ledger.stop_run(connection, run_id, reason="configuration", now=now)
    assert find() == ("configuration", "535 5.7.8: no", now)
    with database.write(engine) as connection:
        ledger.go_on(connection, run_id)
    assert find() is None


def test_a_run_that_a_person_stopped_waits_for_no_relay(find, fail, engine, run_id, now):
    fail(now)
    with database.write(engine) as connection:
        ledger.stop_run(connection, run_id, reason="stopped by Camille", now=now)
    assert find() is None
