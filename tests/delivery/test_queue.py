"""What workers are given of a run: a large audience's canary first, all the others behind it."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select, text, update

from newsletter import running
from newsletter.delivery import queue
from newsletter.model import IssueId, RunId
from newsletter.store import database, runs, schema
from newsletter.store.trouble import find_trouble
from tests.delivery.scenery import start_run

_delivery = schema.delivery


@pytest.fixture
def large(postgres_engine, now, monkeypatch):
    """A run of a hundred readers of whom ten go first; a worker lives, and takes no job."""
    monkeypatch.setattr("newsletter.delivery.canary.MIN_AUDIENCE", 100)
    monkeypatch.setattr("newsletter.delivery.canary.SHARE", 0.1)
    run_id = RunId(start_run(postgres_engine, now, readers=100))
    with database.write(postgres_engine) as connection:
        connection.execute(text("SELECT procrastinate_register_worker_v1()"))
        ids = connection.scalars(
            select(_delivery.c.subscriber_id).order_by(_delivery.c.subscriber_id)
        ).all()

    def read_run():
        with database.read(postgres_engine) as connection:
            return runs.read_run_by_id(connection, run_id)

    def hand_over():
        """Return the batches handed out, as places (after, until] in the order of the readers."""
        assert queue.hand_over(postgres_engine, read_run(), now=now)
        with database.write(postgres_engine) as connection:
            jobs = connection.execute(
                text("DELETE FROM procrastinate_jobs RETURNING args->>'after', args->>'until'")
            )
            found = [(int(after), int(until)) for after, until in jobs]
        return [tuple(sum(one <= end for one in ids) for end in batch) for batch in found]

    def settle(start, end, state, **values):
        """Let the readers at these places have that answer."""
        with database.write(postgres_engine) as connection:
            chosen = _delivery.c.subscriber_id.in_(ids[start:end])
            connection.execute(update(_delivery).where(chosen).values(state=state, **values))

    return SimpleNamespace(
        engine=postgres_engine, read_run=read_run, hand_over=hand_over, settle=settle
    )


def test_workers_are_given_the_canary_alone(large):
    assert large.hand_over() == [(0, 10)]


def test_workers_are_given_all_others_once_the_canary_sang(large):
    large.settle(0, 10, "sent")
    assert large.hand_over() == [(10, 100)]


def test_a_canary_that_sang_is_not_asked_again_where_those_behind_it_were_put_off(large, now):
    large.settle(0, 10, "sent")
    large.settle(10, 60, "deferred", not_before=now + timedelta(hours=4))
    assert large.hand_over() == [(60, 100)]


def test_a_run_whose_canary_was_refused_is_stopped(large):
    large.settle(0, 9, "sent")
    large.settle(9, 10, "refused")
    assert large.hand_over() == []
    assert (large.read_run().stopped, large.read_run().reason) == (True, "canary")
    with database.read(large.engine) as connection:
        known = find_trouble(connection, large.read_run())
    assert known.said == "1 of the first 10 readers were refused"


def test_who_did_not_hear_of_a_canary_that_was_cut_short_is_asked(large):
    large.settle(0, 4, "sent")
    large.settle(4, 6, "unknown")
    assert large.hand_over() == [(0, 12)]  # of these, six are pending


def test_others_are_asked_for_a_canary_of_which_nobody_was_heard(large):
    large.settle(0, 10, "unknown")
    assert large.hand_over() == [(0, 20)]
    large.settle(10, 20, "sent")
    assert large.hand_over() == [(20, 100)]


def test_nobody_follows_a_canary_that_is_put_off(large, now):
    large.settle(0, 4, "sent")
    large.settle(4, 10, "deferred", not_before=now.replace(year=2027))
    assert large.hand_over() == []
    assert not large.read_run().stopped


def test_a_canary_that_was_put_off_is_asked_again_when_due(large, now):
    large.settle(0, 4, "sent")
    large.settle(4, 10, "deferred", not_before=now)
    assert large.hand_over() == [(0, 10)]


def test_once_the_others_followed_no_refusal_of_theirs_stops_the_run(large):
    large.settle(0, 20, "sent")
    large.settle(20, 60, "refused")
    assert large.hand_over() == [(60, 100)]


def test_a_person_lets_the_others_follow_a_canary_that_was_refused(large):
    large.settle(0, 10, "refused")
    assert large.hand_over() == []
    running.go_on(large.engine, IssueId("2026-05-07"))
    assert large.hand_over() == [(10, 100)]
