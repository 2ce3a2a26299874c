from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select

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
    other.dispose()
