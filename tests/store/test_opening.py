from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, insert, select, text

from newsletter.errors import StoreError
from newsletter.store import database, opening, schema
from newsletter.store.migrations import HEAD


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    """The URL of a database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    admin = create_engine(server + "/postgres", isolation_level="AUTOCOMMIT")
    name = f"empty_{request.node.name.__hash__() & 0xFFFFFFFF:x}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
    yield f"{server}/{name}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


def with_database(settings, url):
    return settings.model_copy(
        update={"database": settings.database.model_copy(update={"url": url})}
    )


def test_the_steps_lead_to_the_tables_of_the_schema(settings, empty_url):
    engine = opening.open_store(with_database(settings, empty_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, schema.metadata)
    engine.dispose()
    assert differences == []


def test_head_names_the_newest_step():
    config = Config()
    config.set_main_option("script_location", "newsletter:store/migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_opening_twice_keeps_what_is_there(settings):
    first = opening.open_store(settings)
    with database.write(first) as connection:
        connection.execute(
            insert(schema.instance).values(id="a", created_at=datetime(2026, 1, 1, tzinfo=UTC))
        )
    first.dispose()
    second = opening.open_store(settings)
    with database.read(second) as connection:
        assert connection.scalar(select(schema.instance.c.id)) == "a"
    second.dispose()


def test_a_database_of_a_newer_version_is_refused_untouched(settings):
    engine = opening.open_store(settings)
    with database.write(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match="another version"):
        opening.open_store(settings)
