"""Batches as jobs on PostgreSQL: several workers, one killed, one stopped, everybody once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from newsletter.delivery import queue
from newsletter.delivery.departure import LEASE
from newsletter.delivery.dispatch import Errand, dispatch, settle_dead
from newsletter.delivery.worker import Tempo, work
from newsletter.errors import ConfigError, StoreError
from newsletter.model import RunId
from newsletter.store import breakdown, database, ledger, owners, runs
from tests.delivery.scenery import claim_as, judge, start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule
from tests.waiting import wait_until


def count_jobs(connection) -> int:
    return connection.scalar(text("SELECT count(*) FROM procrastinate_jobs"))


def test_batches_cover_every_pending_reader_once(postgres_engine, now):
    run_id = start_run(postgres_engine, now, readers=23)
    with database.write(postgres_engine) as connection:
        batches = queue.find_batches(connection, run_id, 5)
        ids = [standing.subscriber_id for standing in breakdown.readers(connection, run_id)]
    sizes = [sum(after < reader <= until for reader in ids) for after, until in batches]
    assert sizes == [5, 5, 5, 5, 3]


def test_jobs_live_and_die_with_the_ledgers_transaction(postgres_engine, now):
    run_id = start_run(postgres_engine, now, readers=23)
    with pytest.raises(ZeroDivisionError), database.write(postgres_engine) as connection:
        assert queue.enqueue(connection, run_id, size=5) == 5
        raise ZeroDivisionError
    with database.write(postgres_engine) as connection:
        assert count_jobs(connection) == 0
        queue.enqueue(connection, run_id, size=5)
    with database.read(postgres_engine) as connection:
        assert count_jobs(connection) == 5


def test_without_workers_the_caller_dispatches_itself(
    postgres_engine, settings, keys, now, start_sink
):
    sink = start_sink()
    run_id = start_run(postgres_engine, now, readers=5)
    relay = with_relay(settings, sink.url)
    assert dispatch(relay, postgres_engine, keys, run_id, clock=lambda: now).tally.sent == 5


def test_with_a_worker_the_run_is_handed_over_once(postgres_engine, settings, keys, now):
    run_id = start_run(postgres_engine, now, readers=5)
    with database.write(postgres_engine) as connection:
        connection.execute(text("SELECT procrastinate_register_worker_v1()"))
    for _ in range(2):
        result = dispatch(settings, postgres_engine, keys, run_id, clock=lambda: now)
        assert (result.reason, result.tally.pending) == ("queued", 5)
    with database.read(postgres_engine) as connection:
        assert count_jobs(connection) == 1


def test_workers_need_postgresql(sqlite_engine, settings, keys, now):
    errand = Errand(settings=settings, engine=sqlite_engine, keys=keys, clock=lambda: now)
    with pytest.raises(ConfigError, match="PostgreSQL"):
        work(errand)


@pytest.fixture
def hire(settings, now, tmp_path):
    """Start workers in processes of their own; whoever is left at the end is stopped."""
    workers: list[subprocess.Popen] = []

    def start(engine, sink, count: int) -> list[subprocess.Popen]:
        order = json.dumps(
            {
                "root": str(tmp_path), "relay": sink.url, "now": now.isoformat(),
                "database": engine.url.render_as_string(hide_password=False),
            }
        )  # fmt: skip
        command = [sys.executable, "-m", "tests.delivery.laborer", order]
        workers.extend(
            subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(count)
        )
        wait_until(lambda: _alive(engine) == count)
        return workers

    yield start
    for worker in workers:
        worker.kill()
        worker.wait(120)


def test_three_workers_one_killed_one_stopped_reach_everybody_once(
    postgres_engine, now, start_sink, hire
):
    sink = start_sink(Manners(reply_delay_s=0.004))
    run_id = start_run(postgres_engine, now, readers=900)
    killed, stopped, left = hire(postgres_engine, sink, 3)
    with database.write(postgres_engine) as connection:
        queue.enqueue(connection, run_id, size=100)
    wait_until(lambda: len(sink.accepted()) > 150)
    killed.send_signal(signal.SIGKILL)
    wait_until(lambda: len(sink.accepted()) > 300)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(120) == 0
    wait_until(lambda: _is_done(postgres_engine, run_id))
    left.send_signal(signal.SIGTERM)
    assert left.wait(120) == 0
    judge(postgres_engine, run_id, sink, 900)
    unknown = Counter(states_of(postgres_engine, run_id).values())["unknown"]
    assert unknown <= 2 + 2 * 8  # one killed worker's


def test_workers_outlive_a_postgresql_that_was_stopped_at_once(
    crashing_engine, cluster, now, start_sink, hire
):
    sink = start_sink(Manners(reply_delay_s=0.004))
    run_id = start_run(crashing_engine, now, readers=600)
    workers = hire(crashing_engine, sink, 2)
    with database.write(crashing_engine) as connection:
        queue.enqueue(connection, run_id, size=100)
    wait_until(lambda: len(sink.accepted()) > 150)
    cluster.stop()
    cluster.start()
    wait_until(lambda: _is_done(crashing_engine, run_id))
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(120) for worker in workers] == [0, 0]
    judge(crashing_engine, run_id, sink, 600)
    unknown = Counter(states_of(crashing_engine, run_id).values())["unknown"]
    assert unknown <= 2 * (2 + 2 * 8)


def test_a_sweep_that_fails_is_followed_by_another(
    postgres_engine, settings, keys, now, start_sink, monkeypatch
):
    sink = start_sink()
    run_id = start_run(postgres_engine, now, readers=20)
    failures = iter([StoreError("the database does not answer: away")])

    def fail_first(*given):
        if error := next(failures, None):
            raise error
        settle_dead(*given)

    monkeypatch.setattr("newsletter.delivery.worker.settle_dead", fail_first)
    # Nothing was enqueued: only a sweep hands the run out.
    with working(with_relay(settings, sink.url), postgres_engine, keys, now):
        wait_until(lambda: _is_done(postgres_engine, run_id))
    assert len(sink.accepted()) == 20


def test_a_run_that_a_dispatcher_has_is_not_handed_over(postgres_engine, settings, keys, now):
    run_id = start_run(postgres_engine, now, readers=5)
    with database.write(postgres_engine) as connection:
        connection.execute(text("SELECT procrastinate_register_worker_v1()"))
    with holding(postgres_engine, run_id, now):
        result = dispatch(settings, postgres_engine, keys, run_id, clock=lambda: now)
        assert (result.reason, result.tally.pending) == ("elsewhere", 5)
    with database.read(postgres_engine) as connection:
        assert count_jobs(connection) == 0
    result = dispatch(settings, postgres_engine, keys, run_id, clock=lambda: now)
    assert result.reason == "queued"


def test_a_worker_waits_until_the_dispatcher_has_ended(
    postgres_engine, settings, keys, now, start_sink, monkeypatch
):
    sink = start_sink()
    run_id = start_run(postgres_engine, now, readers=20)
    with database.write(postgres_engine) as connection:  # while workers lived, before it began
        queue.enqueue(connection, run_id, size=4)
    handed = []

    def watch(*given, real=queue.hand_over, **named):
        handed.append(real(*given, **named))
        return handed[-1]

    monkeypatch.setattr(queue, "hand_over", watch)
    with holding(postgres_engine, run_id, now):
        with working(with_relay(settings, sink.url), postgres_engine, keys, now):
            wait_until(lambda: len(handed) > 2 and not _has_jobs(postgres_engine))
        assert not any(handed)
        assert set(states_of(postgres_engine, run_id).values()) == {"pending"}
    with working(with_relay(settings, sink.url), postgres_engine, keys, now):
        wait_until(lambda: _is_done(postgres_engine, run_id))
    assert len(sink.accepted()) == 20


def test_a_worker_takes_the_run_of_a_dispatcher_that_was_killed(
    postgres_engine, settings, keys, now, start_sink
):
    sink = start_sink()
    run_id = start_run(postgres_engine, now, readers=20)
    claim_as(postgres_engine, run_id, "session:1", now)  # no session holds that lock
    with working(with_relay(settings, sink.url), postgres_engine, keys, now):
        wait_until(lambda: _is_done(postgres_engine, run_id))
    states = Counter(states_of(postgres_engine, run_id).values())
    assert states == {"sent": 19, "unknown": 1}
    # It may only have lost its sessions: what it asks for under its own fence is refused.
    with database.read(postgres_engine) as connection:
        assert runs.read_run_by_id(connection, RunId(run_id)).fence == 2


@pytest.fixture
def _canary(monkeypatch):
    monkeypatch.setattr("newsletter.delivery.canary.MIN_AUDIENCE", 100)
    monkeypatch.setattr("newsletter.delivery.canary.SHARE", 0.1)


@pytest.mark.usefixtures("_canary")
def test_a_worker_lets_the_others_follow_as_soon_as_the_canary_sang(
    postgres_engine, settings, keys, now, start_sink
):
    """The sweep that hands the run over is not needed again."""
    sink = start_sink()
    run_id = start_run(postgres_engine, now, readers=100)
    first = [*states_of(postgres_engine, run_id)][:10]
    sweeps = Tempo(heartbeat_s=0.5, stale_s=60.0, sweep_s=3600, polling_s=0.2)
    with working(with_relay(settings, sink.url), postgres_engine, keys, now, sweeps):
        wait_until(lambda: _alive(postgres_engine) == 1)
        result = dispatch(settings, postgres_engine, keys, run_id, clock=lambda: now)
        assert result.reason == "queued"
        wait_until(lambda: _is_done(postgres_engine, run_id))
    order = [accepted.recipient for accepted in sink.accepted()]
    assert len(order) == 100
    assert set(order[:10]) == set(first)


@pytest.mark.usefixtures("_canary")
def test_a_worker_stops_a_run_whose_canary_is_refused(
    postgres_engine, settings, keys, now, start_sink
):
    sink = start_sink(Manners(rules=[Rule("rcpt", "550 5.1.1 nobody")]))
    run_id = start_run(postgres_engine, now, readers=100)
    with working(with_relay(settings, sink.url), postgres_engine, keys, now):
        wait_until(lambda: _read_run(postgres_engine, run_id).stopped)
    assert _read_run(postgres_engine, run_id).reason == "canary"
    assert Counter(states_of(postgres_engine, run_id).values()) == {"refused": 10, "pending": 90}


@contextmanager
def holding(engine, run_id, now):
    """Be the living dispatcher of the run."""
    with owners.open_owner(engine) as owner:
        with database.write(engine) as connection:
            lease = ledger.claim_lease(
                connection, run_id, owner, now=now, until=now + LEASE, is_dead=lambda _: False
            )
        yield
        with database.write(engine) as connection:
            assert ledger.release_lease(connection, lease)


@contextmanager
def working(settings, engine, keys, now, tempo=None):
    """Have one worker, in a thread."""
    stop = threading.Event()
    errand = Errand(settings=settings, engine=engine, keys=keys, clock=lambda: now, stop=stop)
    tempo = tempo or Tempo(heartbeat_s=0.5, stale_s=4.0, sweep_s=0.05, polling_s=0.2)
    worker = threading.Thread(target=work, args=(errand,), kwargs={"tempo": tempo})
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def _has_jobs(engine) -> bool:
    with database.read(engine) as connection:
        return count_jobs(connection) > 0


def _alive(engine) -> int:
    with database.read(engine) as connection:
        return queue.count_workers(connection, 4.0)


def _is_done(engine, run_id) -> bool:
    return _read_run(engine, run_id).state == "done"


def _read_run(engine, run_id):
    with database.read(engine) as connection:
        return runs.read_run_by_id(connection, RunId(run_id))
