"""The database in trouble in mid-run: locked, full, stopped. Nobody twice, nobody lost track of."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count

import pytest
from sqlalchemy import create_engine, event, select, text

from newsletter.delivery import commits
from newsletter.delivery.desk import Desk
from newsletter.delivery.dispatch import dispatch
from newsletter.errors import StoreError
from newsletter.store import breakdown, database, runs, schema, waiting
from tests.delivery.scenery import judge, once_accepted, start_run, states_of, with_relay
from tests.delivery.sink import Manners, Rule
from tests.waiting import wait_until


@pytest.fixture
def sink(start_sink):
    return start_sink(Manners(reply_delay_s=0.005))


def test_a_locked_database_is_waited_for(
    settings, keys, now, start_sink, sqlite_engine, monkeypatch
):
    monkeypatch.setattr(commits, "RETRY_S", 0.02)
    sink = start_sink(Manners(rules=[Rule("accepted", "hold", skip=9)]))
    run_id = start_run(sqlite_engine, now, readers=150)
    impatient = database.open_engine(str(sqlite_engine.url), busy_timeout_ms=20)
    locker = database.open_engine(str(sqlite_engine.url))
    refusals = []
    event.listen(impatient, "handle_error", lambda context: refusals.append(str(context)))
    settings = with_relay(settings, sink.url, window=0, connections=2)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(dispatch, settings, impatient, keys, run_id, clock=lambda: now)
        wait_until(lambda: len(sink.accepted()) >= 10)
        with locker.begin():
            before = len(sink.accepted())
            sink.manners.release.set()
            wait_until(lambda: len(refusals) >= 5)  # each is retried
            # Only the two whose dot was already granted may have left meanwhile.
            assert len(sink.accepted()) <= before + 2
            assert not run.done()
        assert run.result().tally.sent == 150
    judge(sqlite_engine, run_id, sink, 150)
    impatient.dispose()
    locker.dispose()


def test_a_page_that_cannot_be_read_is_asked_for_again(
    settings, keys, now, start_sink, sqlite_engine, monkeypatch
):
    sink = start_sink(Manners(chunking=True))
    run_id = start_run(sqlite_engine, now, readers=900)
    real_pick, calls = waiting.pick, count()

    def pick(*given, **named):
        if next(calls) == 2:
            raise StoreError("the database does not answer")
        return real_pick(*given, **named)

    monkeypatch.setattr(waiting, "pick", pick)
    relay = with_relay(settings, sink.url, window=32)
    assert dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now).tally.sent == 900


def test_a_full_disk_ends_the_dispatch_with_an_error_and_a_later_one_goes_on(
    settings, keys, now, sink, sqlite_engine, monkeypatch
):
    monkeypatch.setattr(commits, "PATIENCE_S", 0.2)
    monkeypatch.setattr(commits, "RETRY_S", 0.05)
    run_id = start_run(sqlite_engine, now, readers=400)
    small = database.open_engine(str(sqlite_engine.url))
    with small.connect() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))

    @event.listens_for(small, "connect")
    def _limit(connection, _record):
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    small.dispose()
    relay = with_relay(settings, sink.url, window=8, connections=4)
    with pytest.raises(StoreError, match="full"):
        dispatch(relay, small, keys, run_id, clock=lambda: now)
    small.dispose()
    assert 0 < len(sink.accepted()) < 400
    assert dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now).finished
    judge(sqlite_engine, run_id, sink, 400)


@pytest.fixture
def refused(start_sink, settings, engine, now, monkeypatch):
    """A run whose relay refuses the password, and a database locked from that moment on.

    *on_refusal* is called at each refusal of the database, with what lets it go.
    """
    monkeypatch.setattr(commits, "RETRY_S", 0.01)
    url = engine.url.render_as_string(hide_password=False)
    impatient = database.open_engine(url, busy_timeout_ms=20)
    sink = start_sink(Manners(auth=("PLAIN",)))
    relay = with_relay(
        settings, sink.url.replace("//", "//moi@"), password="faux", connections=1, window=0
    )
    run_id = start_run(engine, now, readers=5)
    holder = engine.connect()
    real_end = Desk.end

    def end(desk, ending):
        row = select(schema.run.c.id).where(schema.run.c.id == run_id)
        holder.execute(row.with_for_update())
        real_end(desk, ending)

    def dispatch_refused(keys, on_refusal, **given):
        event.listen(impatient, "handle_error", lambda _: on_refusal(holder.rollback))
        with monkeypatch.context() as patch:
            patch.setattr(Desk, "end", end)
            return dispatch(relay, impatient, keys, run_id, clock=lambda: now, **given)

    yield run_id, dispatch_refused
    holder.close()
    impatient.dispose()


def test_a_stop_is_written_once_the_database_is_free_again(refused, engine, keys):
    run_id, dispatch_refused = refused
    refusals = count(1)

    def let_go_of_the_third(free):
        if next(refusals) == 3:
            free()

    assert dispatch_refused(keys, let_go_of_the_third).reason == "configuration"
    assert next(refusals) == 4
    with database.read(engine) as connection:
        run = runs.read_run_by_id(connection, run_id)
    assert (run.stopped, run.reason) == (True, "configuration")


def test_a_stop_flag_ends_a_dispatch_that_cannot_write_its_end(refused, keys):
    _, dispatch_refused = refused
    stop = threading.Event()
    result = dispatch_refused(keys, lambda _: stop.set(), stop=stop)
    assert (result.reason, result.tally.pending) == ("terminated", 5)
    assert "locked" in result.problem


def test_postgresql_that_drops_every_session_is_asked_again(
    settings, keys, now, sink, postgres_engine, postgres_server
):
    run_id = start_run(postgres_engine, now, readers=300)
    over = threading.Event()
    admin = create_engine(postgres_server + "/postgres", isolation_level="AUTOCOMMIT")

    def cut(count):
        wait_until(lambda: len(sink.accepted()) >= count or over.is_set())
        with admin.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = :name AND pid <> pg_backend_pid()"
                ),
                {"name": postgres_engine.url.database},
            )

    cutting = threading.Thread(target=lambda: [cut(count) for count in (1, 50, 150)])
    cutting.start()
    relay = with_relay(settings, sink.url, window=8, connections=2)
    result = None
    while result is None or not result.finished:
        try:  # cut before its first page or after its last, it says so and is simply run again
            result = dispatch(relay, postgres_engine, keys, run_id, clock=lambda: now)
        except StoreError as error:
            assert "does not answer" in str(error)  # noqa: PT017 - not every time
    over.set()
    cutting.join()
    admin.dispose()
    judge(postgres_engine, run_id, sink, 300)


def go_on_until_done(settings, engine, keys, run_id, now) -> int:
    """Dispatch again and again; return how often the database was away for good."""
    failures = 0
    while True:
        try:
            if dispatch(settings, engine, keys, run_id, clock=lambda: now).finished:
                return failures
        except StoreError as error:
            assert "does not answer" in str(error)  # noqa: PT017 - not every time
            failures += 1


@pytest.mark.parametrize("window", [0, 8])
def test_postgresql_stopped_at_once_in_mid_run_and_started_again_loses_track_of_nobody(
    settings, keys, now, sink, cluster, crashing_engine, window
):
    run_id = start_run(crashing_engine, now, readers=300)
    relay = with_relay(settings, sink.url, window=window, connections=2)

    def crash():
        cluster.stop()
        cluster.start()

    with once_accepted(sink, 60, crash), once_accepted(sink, 180, crash):
        go_on_until_done(relay, crashing_engine, keys, run_id, now)
    judge(crashing_engine, run_id, sink, 300)
    unknown = Counter(states_of(crashing_engine, run_id).values())["unknown"]
    assert unknown <= 2 * (2 + 2 * window)


def test_postgresql_that_stays_away_ends_the_dispatch_and_a_later_one_goes_on(
    settings, keys, now, sink, cluster, crashing_engine, monkeypatch
):
    monkeypatch.setattr(commits, "PATIENCE_S", 0.2)
    monkeypatch.setattr(commits, "RETRY_S", 0.05)
    run_id = start_run(crashing_engine, now, readers=200)
    relay = with_relay(settings, sink.url, window=8, connections=2)
    with once_accepted(sink, 60, cluster.stop), pytest.raises(StoreError, match="not answer"):
        dispatch(relay, crashing_engine, keys, run_id, clock=lambda: now)
    cluster.start()
    assert go_on_until_done(relay, crashing_engine, keys, run_id, now) == 0
    judge(crashing_engine, run_id, sink, 200)
    assert Counter(states_of(crashing_engine, run_id).values())["unknown"] <= 2 + 2 * 8


def test_a_clock_that_steps_back_and_forth_sends_once(settings, keys, now, sink, sqlite_engine):
    run_id = start_run(sqlite_engine, now, readers=100)
    steps = iter(range(10_000))

    def clock():
        return now + timedelta(hours=(-3, 0, 2)[next(steps) % 3])

    relay = with_relay(settings, sink.url, window=4, connections=3)
    assert dispatch(relay, sqlite_engine, keys, run_id, clock=clock).tally.sent == 100
    judge(sqlite_engine, run_id, sink, 100)


def test_a_relay_killed_in_mid_run_leaves_at_most_its_dots_in_doubt(
    settings, keys, now, start_sink, sqlite_engine
):
    from newsletter.delivery.endpoints import Deadlines

    first = start_sink(Manners(reply_delay_s=0.005))
    run_id = start_run(sqlite_engine, now, readers=200)
    relay = with_relay(settings, first.url, window=8, connections=3)
    fast = Deadlines(backoff=0.001)
    with once_accepted(first, 10, first.stop):
        result = dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: now, deadlines=fast)
    assert result.reason == "relay"
    assert result.tally.unknown <= 3
    second = start_sink(name="second.jsonl")
    relay = with_relay(settings, second.url, window=8, connections=3)
    later = now + timedelta(minutes=10)  # those it dropped three times wait five minutes
    assert dispatch(relay, sqlite_engine, keys, run_id, clock=lambda: later).finished
    taken = [a.recipient for sink in (first, second) for a in sink.accepted()]
    assert len(taken) == len(set(taken))
    missing = set(states_of(sqlite_engine, run_id)) - set(taken)
    with database.read(sqlite_engine) as connection:
        doubted = {
            reader.address for reader in breakdown.readers(connection, run_id)
            if reader.state == "unknown"
        }  # fmt: skip
    assert missing <= doubted
