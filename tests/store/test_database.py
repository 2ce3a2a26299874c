import sqlite3
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import OperationalError

from newsletter.errors import Busy, StoreError
from newsletter.store import database, schema


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


@pytest.mark.parametrize(("query", "idle_s"), [("", "10"), ("?keepalives_idle=45", "45")])
def test_a_quiet_session_is_kept_alive(postgres_url, query, idle_s):
    engine = database.open_engine(postgres_url + query)
    with database.read(engine) as connection:
        terms = connection.connection.dbapi_connection.info.get_parameters()
    engine.dispose()
    assert (terms["keepalives_idle"], terms["tcp_user_timeout"]) == (idle_s, "15000")
