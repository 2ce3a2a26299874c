"""Who is alive: what one session or file says of its owner, and what its end proves."""

from __future__ import annotations

import pytest
from sqlalchemy import text, update

from newsletter.errors import StoreError
from newsletter.store import database, owners, schema
from tests.delivery.scenery import claim_as, start_run, states_of
from tests.waiting import wait_until


@pytest.fixture
def is_dead(postgres_engine):
    def ask(name):
        with database.read(postgres_engine) as connection:
            return owners.death_prover(postgres_engine, connection)(name)

    return ask


@pytest.fixture
def end_sessions(postgres_engine):
    """End every session that holds an owner's lock, but those spared."""

    def end(*spared):
        with postgres_engine.connect() as connection:
            pids = connection.scalars(
                text(
                    "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database "
                    "WHERE locktype = 'advisory' AND datname = current_database()"
                )
            ).all()
            for pid in set(pids) - {_pid_of(one) for one in spared}:
                connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    return end


def _pid_of(connection):
    return connection.connection.dbapi_connection.info.backend_pid


@pytest.fixture
def connection(postgres_engine):
    """The ledger's connection of an owner."""
    opened = postgres_engine.connect()
    yield opened
    opened.close()


def test_an_owner_lives_as_long_as_one_of_its_sessions(
    postgres_engine, connection, is_dead, end_sessions
):
    with owners.open_owner(postgres_engine) as name:
        with database.write_on(connection):
            assert owners.stand_for(connection, name)
        end_sessions(connection)
        assert not is_dead(name)
        connection.close()
        wait_until(lambda: is_dead(name))


def test_a_session_that_comes_after_the_others_ended_says_so_and_proves_life_again(
    postgres_engine, connection, is_dead, end_sessions
):
    with owners.open_owner(postgres_engine) as name:
        end_sessions()
        wait_until(lambda: is_dead(name))
        with database.write_on(connection):
            assert not owners.stand_for(connection, name)
        assert not is_dead(name)


def test_a_connection_that_stood_for_an_owner_is_not_given_to_another(
    postgres_engine, connection, is_dead
):
    with owners.open_owner(postgres_engine) as name, database.write_on(connection):
        owners.stand_for(connection, name)
    pid = _pid_of(connection)
    connection.close()
    with postgres_engine.connect() as next_one:
        assert _pid_of(next_one) != pid
    wait_until(lambda: is_dead(name))


def test_an_owner_for_whom_there_is_no_server_is_a_store_error(postgres_engine):
    away = database.open_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreError, match="does not answer"), owners.open_owner(away):
        pass
    away.dispose()


def test_on_sqlite_the_lock_is_not_the_connection_s(sqlite_engine):
    with owners.open_owner(sqlite_engine) as name, database.write(sqlite_engine) as connection:
        assert owners.stand_for(connection, name)


def test_a_machine_that_changed_its_name_is_known_by_its_kernel(sqlite_engine, monkeypatch):
    def is_dead(name):
        with database.read(sqlite_engine) as connection:
            return owners.death_prover(sqlite_engine, connection)(name)

    with owners.open_owner(sqlite_engine) as name:
        monkeypatch.setattr(owners, "machine_id", lambda: "another-container")
        assert not is_dead(name)
    assert is_dead(name)
    monkeypatch.setattr(owners, "_boot_id", lambda: "another-boot")
    assert not is_dead(name)


@pytest.fixture
def linked_engine(sqlite_engine, tmp_path):
    """The same database, reached through a link elsewhere."""
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(database.sqlite_path(str(sqlite_engine.url)))
    engine = database.open_engine(f"sqlite:///{link}")
    yield engine
    engine.dispose()


def test_an_owner_lives_by_whichever_link_its_database_is_reached(sqlite_engine, linked_engine):
    with owners.open_owner(sqlite_engine) as name, database.read(linked_engine) as connection:
        assert not owners.death_prover(linked_engine, connection)(name)


def test_an_owner_has_its_file_in_a_folder_of_any_name(tmp_path):
    place = tmp_path / "La lettre d'été"
    place.mkdir()
    engine = database.open_engine(f"sqlite:///{place / 'newsletter.db'}")
    with owners.open_owner(engine):
        assert [one.name for one in place.iterdir()] == ["newsletter.db.owners"]
    engine.dispose()


def test_an_owner_s_file_that_cannot_be_made_is_named(sqlite_engine):
    folder = database.sqlite_path(str(sqlite_engine.url) + ".owners")
    folder.symlink_to("/proc")  # where nobody makes a file
    opened = owners.open_owner(sqlite_engine)
    with pytest.raises(StoreError, match="cannot be made") as caught:
        opened.__enter__()
    assert caught.value.path == str(folder)


def test_only_strangers_are_given_up_without_a_proof(sqlite_engine, now):
    run_id = start_run(sqlite_engine, now, readers=2)
    with owners.open_owner(sqlite_engine) as name:
        claim_as(sqlite_engine, run_id, name, now)
        claim_as(sqlite_engine, run_id, "file:another-machine:its-boot:word", now)
        with database.write(sqlite_engine) as connection:
            assert owners.bury_strangers(connection, now=now) == 1
        assert set(states_of(sqlite_engine, run_id).values()) == {"sending", "unknown"}


@pytest.mark.parametrize("came_back", ["bounced_at", "complained_at"])
def test_whose_message_came_back_before_its_sender_was_given_up_was_sent_to(engine, now, came_back):
    run_id = start_run(engine, now, readers=2)
    claim_as(engine, run_id, "elsewhere:1", now)
    with database.write(engine) as connection:
        connection.execute(update(schema.delivery).values({came_back: now}))
        assert owners.bury_dead(connection, run_id, is_dead=lambda _: True, now=now) == 0
    assert sorted(states_of(engine, run_id).values()) == ["pending", "sent"]


def test_no_session_is_a_stranger(postgres_engine, now):
    run_id = start_run(postgres_engine, now, readers=1)
    claim_as(postgres_engine, run_id, "session:1", now)
    with database.write(postgres_engine) as connection:
        assert owners.bury_strangers(connection, now=now) == 0
