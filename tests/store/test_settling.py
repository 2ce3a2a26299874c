"""How many dispatches in a row lost an answer and reached nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from newsletter.store import database, ledger, schema, settling, waiting
from newsletter.store.ledger import Lease
from tests.delivery.scenery import start_run

MINUTE = timedelta(minutes=1)
LOST = {"state": "unknown", "reason": "drop"}


@pytest.fixture
def run_id(engine, now):
    return start_run(engine, now, readers=8)


@pytest.fixture
def readers(engine, run_id):
    with database.read(engine) as connection:
        return [row.subscriber_id for row in waiting.pick(connection, run_id, after=-1, size=10)]


@pytest.fixture
def begin(engine, run_id, now):
    """Let somebody begin to dispatch the run, *minutes* after its start."""

    def write(owner, *, minutes):
        with database.write(engine) as connection:
            lease, at = Lease(run_id, owner, 1), now + minutes * MINUTE
            ledger.begin_dispatch(connection, lease, ["relay.test:25"], now=at)

    return write


@pytest.fixture
def claim(engine, now):
    """Let somebody have claimed a reader, *minutes* after the start, of whom this became known."""

    def write(reader, owner, *, minutes, **values):
        row = {"owner": owner, "fence": 1, "claimed_at": now + minutes * MINUTE} | values
        with database.write(engine) as connection:
            mine = schema.delivery.c.subscriber_id == reader
            connection.execute(update(schema.delivery).where(mine).values(**row))

    return write


@pytest.fixture
def count(engine, run_id):
    def read():
        with database.read(engine) as connection:
            return settling.count_doubtful_dispatches(connection, run_id)

    return read


@pytest.fixture
def lost_twice(begin, claim, readers):
    """Two dispatches, one after the other, lost an answer."""
    for minutes in (0, 2):
        begin(f"dispatcher {minutes}", minutes=minutes)
        claim(readers[minutes], f"dispatcher {minutes}", minutes=minutes + 1, **LOST)


@pytest.mark.usefixtures("lost_twice")
def test_dispatches_that_lost_an_answer_are_counted(count):
    assert count() == 2


@pytest.mark.usefixtures("lost_twice")
def test_somebody_who_was_taken_ends_the_row(count, claim, readers, now):
    claim(readers[4], None, minutes=4, state="sent", settled_at=now + 4 * MINUTE)
    assert count() == 0


@pytest.mark.usefixtures("lost_twice")
def test_a_recipient_who_is_refused_says_nothing_of_the_end_of_a_message(
    count, claim, readers, now
):
    claim(readers[4], None, minutes=4, state="refused", settled_at=now + 4 * MINUTE)
    assert count() == 2


@pytest.mark.usefixtures("lost_twice")
def test_a_message_that_came_back_is_another_answer_that_was_lost(count, claim, readers, now):
    proof = {"state": "sent", "reason": "proved by bounce", "settled_at": now + 9 * MINUTE}
    claim(readers[4], None, minutes=4, **proof)
    assert count() == 2


def test_a_relay_that_breaks_down_under_many_workers_does_so_once(count, begin, claim, readers):
    for place in range(len(readers)):
        begin(f"worker {place}", minutes=place)
    for place, reader in enumerate(readers):
        claim(reader, f"worker {place}", minutes=10 + place, **LOST)
    assert count() == 1


def test_workers_that_lose_an_answer_again_have_lost_two(count, begin, claim, readers):
    for place, reader in enumerate(readers):
        begin(f"worker {place}", minutes=10 * (place // 4))
        claim(reader, f"worker {place}", minutes=10 * (place // 4) + 5, **LOST)
    assert count() == 2
