"""A database and the file beside it: which of them is behind, and what that means."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from newsletter import running
from newsletter.delivery import commits
from newsletter.delivery.dispatch import dispatch
from newsletter.errors import StoreError
from newsletter.store import database, identity, runs, schema
from tests.delivery.scenery import once_accepted, start_run, states_of, with_relay
from tests.waiting import wait_until


@pytest.fixture
def born(settings, engine, now):
    """A database that a machine has run on."""
    assert not running.is_restored(settings, engine, now)


def read(engine):
    with database.read(engine) as connection:
        return runs.read_mark(connection)


def set_back(engine, generation):
    """What a backup brings back."""
    with database.write(engine) as connection:
        connection.execute(update(schema.instance).values(generation=generation))


def advance(settings, engine, times=1):
    for _ in range(times):
        with identity.advancing(settings, engine):
            pass


def lose_power(*_):
    raise KeyboardInterrupt


def test_the_file_follows_the_database(settings, engine, born):
    advance(settings, engine, 3)
    assert read(engine).generation == 3
    assert identity.read_file(settings) == read(engine)
    assert not identity.is_copy(settings, engine)


def test_an_older_state_of_the_same_database_is_found_out(settings, engine, born, now):
    advance(settings, engine, 2)
    set_back(engine, 1)
    assert identity.is_older(settings, engine)
    assert identity.is_copy(settings, engine)
    assert running.is_restored(settings, engine, now)


def test_an_older_state_does_not_catch_up_by_working(settings, engine, born, now):
    advance(settings, engine, 2)
    set_back(engine, 1)
    advance(settings, engine, 5)
    assert (read(engine).generation, identity.read_file(settings).generation) == (1, 2)
    assert running.is_restored(settings, engine, now)
    assert running.adopt(settings, engine, now)
    assert not running.is_restored(settings, engine, now)


def test_a_file_of_the_version_before_goes_on_and_learns_the_number(settings, engine, born, now):
    path = identity.path_of(settings)
    path.write_text(read(engine).id + "\n", encoding="ascii")
    assert not running.is_restored(settings, engine, now)
    advance(settings, engine)
    assert path.read_text("ascii") == f"{read(engine).id} 1\n"
    set_back(engine, 0)  # the backup that was made before the upgrade
    assert running.is_restored(settings, engine, now)


def test_a_file_that_lags_is_no_restore_and_is_raised_when_it_is_read(settings, engine, born, now):
    set_back(engine, 7)  # another machine has worked on
    assert not identity.is_copy(settings, engine)
    assert identity.read_file(settings).generation == 0
    assert not running.is_restored(settings, engine, now)
    assert identity.read_file(settings).generation == 7


def test_a_crash_between_the_database_and_the_file_holds_nobody(
    settings, engine, born, now, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(identity, "follow", lose_power)
        advance(settings, engine)
    assert (read(engine).generation, identity.read_file(settings).generation) == (1, 0)
    assert not running.is_restored(settings, engine, now)
    set_back(engine, 0)
    assert running.is_restored(settings, engine, now)


def test_a_crash_in_the_file_leaves_the_old_one_whole(settings, engine, born, now, monkeypatch):
    before = identity.read_file(settings)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(identity.os, "fsync", lose_power)
        advance(settings, engine)
    assert identity.read_file(settings) == before
    assert not running.is_restored(settings, engine, now)
    assert identity.read_file(settings).generation == 1


def test_a_transaction_that_fails_advances_nothing(settings, engine, born):
    with pytest.raises(ZeroDivisionError), identity.advancing(settings, engine):
        raise ZeroDivisionError
    assert identity.read_file(settings) == read(engine)
    assert read(engine).generation == 0


def test_nothing_leaves_while_the_file_cannot_be_written(
    settings, engine, born, keys, now, start_sink
):
    sink = start_sink()
    run_id = start_run(engine, now, readers=3)
    in_the_way = identity.path_of(settings).with_name("instance.new")
    in_the_way.mkdir()
    relay = with_relay(settings, sink.url)
    with pytest.raises(StoreError, match="cannot be written"):
        dispatch(relay, engine, keys, run_id, clock=lambda: now)
    assert sink.accepted() == []
    assert set(states_of(engine, run_id).values()) == {"pending"}
    in_the_way.rmdir()
    assert dispatch(relay, engine, keys, run_id, clock=lambda: now).tally.sent == 3


def test_a_dispatch_makes_every_backup_before_and_within_it_an_older_one(
    settings, engine, born, keys, now, start_sink
):
    sink = start_sink()
    run_id = start_run(engine, now, readers=3)
    seen = [read(engine).generation]

    def look():
        seen.append(read(engine).generation)
        seen.append(identity.read_file(settings).generation)

    relay = with_relay(settings, sink.url)
    with once_accepted(sink, 1, look):
        dispatch(relay, engine, keys, run_id, clock=lambda: now)
    before, within, of_the_file = seen
    assert before < within == of_the_file < read(engine).generation
    assert identity.read_file(settings) == read(engine)


def test_a_dispatch_reads_nobody_again_from_a_backup_put_back_under_it(
    settings, engine, born, keys, now, start_sink, monkeypatch
):
    monkeypatch.setattr(commits, "PATIENCE_S", 0)
    sink = start_sink()
    run_id = start_run(engine, now, readers=20)

    def put_back():  # the fence stays: the backup is of this very dispatch
        waits = {"state": "pending", "owner": None}
        sent = schema.delivery.c.state == "sent"
        with database.write(engine) as connection:
            connection.execute(update(schema.delivery).where(sent).values(**waits))
        set_back(engine, 0)

    relay = with_relay(settings, sink.url, connections=1, window=0)
    with once_accepted(sink, 12, put_back), pytest.raises(StoreError, match="put back"):
        dispatch(relay, engine, keys, run_id, clock=lambda: now)
    assert len(sink.accepted()) == len({one.recipient for one in sink.accepted()}) == 20
    assert running.is_restored(settings, engine, now)


@pytest.mark.parametrize("window", [0, 32])  # of 32: all 20 are claimed from the beginning
def test_a_dispatch_makes_a_backup_of_itself_an_older_one_every_minute(
    settings, engine, born, keys, now, start_sink, window
):
    sink = start_sink()
    run_id = start_run(engine, now, readers=20)
    times = [now]

    def let_a_minute_pass():
        before = read(engine).generation
        times.append(now + timedelta(minutes=1))
        wait_until(lambda: read(engine).generation > before)
        wait_until(lambda: identity.read_file(settings) == read(engine))

    relay = with_relay(settings, sink.url, connections=1, window=window)
    with once_accepted(sink, 5, let_a_minute_pass):
        assert dispatch(relay, engine, keys, run_id, clock=lambda: times[-1]).tally.sent == 20


def test_of_many_that_advance_at_once_the_file_keeps_the_highest(settings, engine, born):
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(advance, settings, engine, 5) for _ in range(4)]:
            done.result()
    assert read(engine).generation == 20
    assert identity.read_file(settings) == read(engine)


def test_a_machine_without_the_file_counts_nothing(settings, engine, born):
    identity.path_of(settings).unlink()
    advance(settings, engine)
    assert read(engine).generation == 0
    assert not identity.is_older(settings, engine)
    assert not identity.path_of(settings).exists()


@pytest.mark.parametrize("text", ["", "another\n", "another 3\n", "x y\n", "é\n"])
def test_a_file_that_says_something_else_is_of_another_database(settings, engine, born, text):
    identity.path_of(settings).write_text(text, encoding="utf-8")
    advance(settings, engine)
    assert identity.is_copy(settings, engine)
    assert not identity.is_older(settings, engine)
    assert identity.path_of(settings).read_text("utf-8") == text
