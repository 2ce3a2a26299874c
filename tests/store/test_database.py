import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.exc import OperationalError

from newsletter.errors import Busy, StoreError
from newsletter.store import database, schema
from tests.waiting import wait_until


def test_an_instant_comes_back_as_it_was_stored(engine, now):
    with database.write(engine) as connection:
        connection.execute(insert(schema.instance).values(id="a", created_at=now))
    with database.read(engine) as connection:
        assert connection.scalar(select(schema.instance.c.created_at)) == now


def test_a_naive_instant_is_refused(engine):
    with pytest.raises(Exception, match="naive"), database.write(engine) as connection:
        connection.execute(insert(schema.instance).values(id="a", created_at=datetime(2026, 1, 1)))


def test_a_locked_sqlite_database_is_said_to_be_busy(tmp_path, sqlite_engine):
    other = database.open_engine(f"sqlite:///{tmp_path / 'newsletter.db'}", busy_timeout_ms=1)
    with database.write(sqlite_engine), pytest.raises(Busy), database.write(other):
        pass
    other.dispose()


def test_a_failed_transaction_leaves_nothing(engine):
    with pytest.raises(RuntimeError), database.write(engine) as connection:
        connection.execute(
            insert(schema.instance).values(id="a", created_at=datetime(2026, 1, 1, tzinfo=UTC))
        )
        raise RuntimeError
    with database.read(engine) as connection:
        assert connection.scalar(select(schema.instance.c.id)) is None


def test_no_error_of_the_database_shows_an_address(engine, now):
    person = {"address": "a@example.org", "address_key": "a@example.org", "state": "active"}
    person |= {"created_at": now, "consent_key": b"k" * 32}
    with pytest.raises(StoreError) as caught, database.write(engine) as connection:
        connection.execute(insert(schema.subscriber).values(id=1, **person))
        connection.execute(insert(schema.subscriber).values(id=2, **person))
    assert "a@example.org" not in f"{caught.value}"
    assert "parameters: (" not in f"{caught.value.__cause__}"


@pytest.mark.parametrize(
    ("told", "waits"), [("off", "local"), ("local", "local"), ("remote_apply", "remote_apply")]
)
def test_what_postgresql_has_committed_is_on_its_disk_whatever_it_was_told(
    postgres_url, told, waits
):
    engine = database.open_engine(f"{postgres_url}?options=-csynchronous_commit%3D{told}")
    with database.read(engine) as connection:
        assert connection.scalar(text("SHOW synchronous_commit")) == waits
    engine.dispose()


def test_a_transaction_sees_what_was_committed_while_it_waited(postgres_url):
    told = "?options=-cdefault_transaction_isolation%3Dserializable"
    engine = database.open_engine(postgres_url + told)
    with database.write(engine) as connection:
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"
    engine.dispose()


@pytest.mark.parametrize("name", ["La lettre d'été", "100%41", "a%20b #1"])
def test_a_file_stands_in_the_folder_that_was_named(tmp_path, name):
    (tmp_path / name).mkdir()
    engine = database.open_engine(f"sqlite:///{tmp_path / name / 'newsletter.db'}")
    with database.read(engine):
        pass
    engine.dispose()
    assert [one.name for one in tmp_path.glob("*/newsletter.db")] == ["newsletter.db"]
    assert (tmp_path / name / "newsletter.db").exists()


@pytest.fixture
def put_aside(tmp_path, sqlite_engine):
    """An empty backup in the place of a database that its process has open."""
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(sqlite_engine.url.database)) as connection:
        connection.execute(f"VACUUM INTO '{backup}'")

    def put_aside():
        for left in ("newsletter.db-wal", "newsletter.db-shm"):
            (tmp_path / left).unlink(missing_ok=True)
        backup.replace(tmp_path / "newsletter.db")

    return put_aside


def count_instances(engine):
    with database.read(engine) as connection:
        return connection.scalar(select(func.count()).select_from(schema.instance))


def test_a_file_put_in_the_place_of_another_is_the_database_from_then_on(
    sqlite_engine, put_aside, now
):
    with database.write(sqlite_engine) as connection:
        connection.execute(insert(schema.instance).values(id="a", created_at=now))
    assert count_instances(sqlite_engine) == 1
    put_aside()
    assert count_instances(sqlite_engine) == 0


def test_a_connection_that_is_kept_writes_nothing_to_a_file_put_aside(sqlite_engine, put_aside):
    connection = database.connect(sqlite_engine)
    with database.write_on(connection):
        pass
    put_aside()
    with pytest.raises(StoreError, match="replaced"), database.write_on(connection):
        pass
    connection.close()
    assert count_instances(sqlite_engine) == 0


def test_no_empty_database_is_made_in_the_place_of_one_that_is_gone(tmp_path, sqlite_engine):
    count_instances(sqlite_engine)
    (tmp_path / "newsletter.db").unlink()
    with pytest.raises(StoreError, match="removed"):
        count_instances(sqlite_engine)
    assert not (tmp_path / "newsletter.db").exists()


def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path):
    (tmp_path / "newsletter.db").write_bytes(b"not a database" * 1_000)
    other = database.open_engine(f"sqlite:///{tmp_path / 'newsletter.db'}")
    with pytest.raises(StoreError, match="damaged") as caught, database.write(other):
        pass
    assert "copy" in caught.value.remedy
    assert caught.value.path == str(tmp_path / "newsletter.db")
    other.dispose()


def test_a_disk_that_fails_is_not_asked_to_be_tried_again(sqlite_engine):
    cause = sqlite3.OperationalError("disk I/O error")
    cause.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    with pytest.raises(StoreError, match="disk is full") as caught, database.read(sqlite_engine):
        raise OperationalError("", None, cause)
    assert "room" in caught.value.remedy


def test_what_a_server_says_in_two_lines_is_one(postgres_engine):
    with pytest.raises(StoreError) as caught, database.read(postgres_engine):
        raise OperationalError("", None, Exception("refused\n\tIs the server running?"))
    assert "refused Is the server running?" in caught.value.message


def hold_row(engine, now):
    """Return a session that holds a row, its transaction open, as an administrator's may be."""
    with database.write(engine) as connection:
        connection.execute(insert(schema.instance).values(id="a", created_at=now))
    holder = engine.connect()
    holder.execute(select(schema.instance).with_for_update())
    return holder


def test_a_row_that_a_session_holds_makes_postgresql_busy(postgres_engine, postgres_url, now):
    other = database.open_engine(postgres_url, busy_timeout_ms=1)
    with (
        hold_row(postgres_engine, now),
        pytest.raises(Busy) as caught,
        database.write(other) as connection,
    ):
        connection.execute(delete(schema.instance))
    assert "left its transaction open" in caught.value.remedy
    other.dispose()


def ask_limit(connection):
    """How long this session waits for a lock, in milliseconds."""
    if connection.dialect.name == "sqlite":
        return connection.scalar(text("PRAGMA busy_timeout"))
    setting = "SELECT setting::int FROM pg_settings WHERE name = 'lock_timeout'"
    return connection.scalar(text(setting))


@pytest.mark.parametrize(
    ("query", "limit_ms"),
    [
        ("", 5_000),
        ("?options=-c%20lock_timeout%3D7s", 7_000),
        ("?options=-c%20lock_timeout%3D0", 0),
        ("?options=-c%20statement_timeout%3D1h", 5_000),
    ],
)
def test_the_url_has_the_last_word_on_how_long_a_lock_is_waited_for(postgres_url, query, limit_ms):
    engine = database.open_engine(postgres_url + query)
    for _ in range(2):
        with pytest.raises(RuntimeError), database.write(engine) as connection:
            assert ask_limit(connection) == limit_ms
            raise RuntimeError  # what a session is told at its start outlives a rollback
    engine.dispose()


def test_who_hurries_waits_for_a_lock_for_a_moment(engine):
    with database.connect(engine) as connection:
        limits = []
        for hurries in (False, True, False):
            with database.write_on(connection, hurries=hurries):
                limits.append(ask_limit(connection))
    assert limits == [5_000, 500, 5_000]


def advisory_lock():
    return func.pg_advisory_xact_lock(1)


def test_a_turn_is_waited_for_however_long_it_takes_and_nothing_else_is(
    postgres_engine, postgres_url
):
    other = database.open_engine(postgres_url, busy_timeout_ms=1)

    def work():
        with database.write(other) as connection:
            database.take_turns(connection, advisory_lock())
            return ask_limit(connection)

    waits = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        "AND clock_timestamp() > waitstart + interval '50 ms'"
    )
    with ThreadPoolExecutor(1) as pool:
        with database.write(postgres_engine) as connection:
            database.take_turns(connection, advisory_lock())
            waiting = pool.submit(work)
            wait_until(lambda: waiting.done() or connection.scalar(waits))
            assert not waiting.done()
        assert waiting.result() == 1
    other.dispose()


@pytest.mark.parametrize(("query", "idle_s"), [("", "10"), ("?keepalives_idle=45", "45")])
def test_a_quiet_session_is_kept_alive(postgres_url, query, idle_s):
    engine = database.open_engine(postgres_url + query)
    with database.read(engine) as connection:
        terms = connection.connection.dbapi_connection.info.get_parameters()
    engine.dispose()
    assert (terms["keepalives_idle"], terms["tcp_user_timeout"]) == (idle_s, "15000")
