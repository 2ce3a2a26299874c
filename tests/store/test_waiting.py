"""The readers of a run who wait: in a range, in which states, and those whose time has come."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import update

from newsletter.model import DeliveryState as State
from newsletter.store import database, schema, waiting
from newsletter.store.waiting import LAST_ID
from tests.delivery.scenery import start_run


@pytest.fixture
def run_id(engine, now):
    return start_run(engine, now, readers=6)


@pytest.fixture
def readers(engine, run_id):
    with database.read(engine) as connection:
        return [row.subscriber_id for row in waiting.pick(connection, run_id, after=-1, size=10)]


def test_readers_wait_in_a_range_and_above_it(engine, run_id, readers):
    with database.read(engine) as connection:
        look = partial(waiting.look_for_waiting, connection, run_id)
        assert look() == (True, False)
        assert look(after=readers[0], until=readers[1]) == (True, True)
        assert look(after=readers[-1]) == (False, False)


@pytest.mark.parametrize(
    ("state", "here_and_above"),
    [
        (State.PENDING, (True, True)),
        (State.DEFERRED, (True, False)),  # above: its batch will come when it is due
        (State.SENDING, (False, False)),
        (State.SENT, (False, False)),
    ],
)
def test_only_some_states_wait(engine, run_id, readers, state, here_and_above):
    with database.write(engine) as connection:
        connection.execute(update(schema.delivery).values(state=state))
    with database.read(engine) as connection:
        assert waiting.look_for_waiting(connection, run_id, until=readers[2]) == here_and_above


def test_the_next_who_are_due_are_picked_in_a_range(engine, run_id, readers, now):
    due_at = {readers[0]: now, readers[1]: now + timedelta(seconds=1), readers[3]: now}
    with database.write(engine) as connection:
        for reader, at in due_at.items():
            row = schema.delivery.c.subscriber_id == reader
            values = {"state": State.DEFERRED, "not_before": at, "tries": 2}
            connection.execute(update(schema.delivery).where(row).values(**values))
        pick = partial(waiting.pick_due, connection, run_id, now=now)
        due = pick(after=-1, size=10, until=LAST_ID)
        assert [(row.subscriber_id, row.tries) for row in due] == [(readers[0], 2), (readers[3], 2)]
        assert [row.subscriber_id for row in pick(after=-1, size=1, until=LAST_ID)] == readers[:1]
        assert pick(after=readers[0], size=10, until=readers[2]) == []
