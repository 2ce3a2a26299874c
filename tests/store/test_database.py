from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select

from newsletter.errors import Busy
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
