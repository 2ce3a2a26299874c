"""A database of an earlier version, upgraded in the middle of a run: the run is finished."""

from __future__ import annotations

from collections import Counter

import pytest
from alembic import command
from alembic.config import Config
from procrastinate.schema import SchemaManager
from sqlalchemy import create_engine, insert, text, update

from newsletter import running
from newsletter.delivery.dispatch import dispatch
from newsletter.delivery.queue import enqueue
from newsletter.store import database, identity, opening, schema
from newsletter.store.migrations import HEAD
from tests.delivery.scenery import start_run, with_relay


@pytest.fixture(params=["sqlite", "postgresql"])
def old_engine(request, tmp_path):
    """A database whose tables are those of the first version."""
    if request.param == "sqlite":
        engine = database.open_engine(f"sqlite:///{tmp_path / 'old.db'}")
    else:
        # Its own name: the fixture's database is made from today's template.
        url = request.getfixturevalue("postgres_url")
        admin = create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        admin.dispose()
        engine = database.open_engine(url)
    config = Config()
    config.set_main_option("script_location", "newsletter:store/migrations")
    with database.write(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    yield engine
    engine.dispose()


def leave_in_flight(engine, now) -> int:
    """A run of nine: three sent, two in the hands of somebody who died, four still to go."""
    run_id = start_run(engine, now, readers=9)
    delivery = schema.delivery
    with database.write(engine) as connection:
        ids = sorted(connection.scalars(delivery.select().with_only_columns(
            delivery.c.subscriber_id
        )))  # fmt: skip
        dead = "session:1" if engine.dialect.name == "postgresql" else _dead_file(engine)
        for chosen, values in (
            (ids[:3], {"state": "sent", "settled_at": now}),
            (ids[3:5], {"state": "sending", "owner": dead, "fence": 1, "claimed_at": now}),
        ):
            connection.execute(
                update(delivery).where(delivery.c.subscriber_id.in_(chosen)).values(**values)
            )
    return run_id


def _dead_file(engine) -> str:
    from newsletter.store import owners

    with owners.open_owner(engine) as name:
        return name


def finish(engine, settings, keys, run_id, now, sink) -> Counter:
    settings = settings.model_copy(
        update={
            "database": settings.database.model_copy(
                update={"url": engine.url.render_as_string(hide_password=False)}
            )
        }
    )
    upgraded = opening.open_store(settings)
    with database.read(upgraded) as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
    result = dispatch(with_relay(settings, sink.url), upgraded, keys, run_id, clock=lambda: now)
    upgraded.dispose()
    assert result.finished
    return Counter({"sent": result.tally.sent, "unknown": result.tally.unknown})


def test_a_run_in_flight_is_finished_after_the_upgrade(old_engine, settings, keys, now, start_sink):
    sink = start_sink()
    run_id = leave_in_flight(old_engine, now)
    assert finish(old_engine, settings, keys, run_id, now, sink) == {"sent": 7, "unknown": 2}
    assert len(sink.accepted()) == 4


def test_a_database_of_a_version_without_generations_is_no_restored_one(
    old_engine, settings, keys, now, start_sink
):
    with database.write(old_engine) as connection:
        row = {"id": "a" * 32, "created_at": now}
        connection.execute(insert(schema.instance).values(**row))
    settings.var_dir.mkdir(exist_ok=True)
    identity.path_of(settings).write_text("a" * 32 + "\n", encoding="ascii")
    run_id = leave_in_flight(old_engine, now)
    opening.upgrade(old_engine)
    assert not running.is_restored(settings, old_engine, now)
    finish(old_engine, settings, keys, run_id, now, start_sink())
    assert not running.is_restored(settings, old_engine, now)
    assert identity.read_file(settings).generation > 0


@pytest.mark.parametrize("old_engine", ["postgresql"], indirect=True)
def test_jobs_that_a_worker_of_the_first_version_laid_down_are_kept(
    old_engine, settings, keys, now, start_sink
):
    with database.write(old_engine) as connection:
        connection.connection.driver_connection.execute(SchemaManager.get_schema())
    run_id = leave_in_flight(old_engine, now)
    with database.write(old_engine) as connection:
        assert enqueue(connection, run_id, size=2) == 2
    assert finish(old_engine, settings, keys, run_id, now, start_sink()) == {
        "sent": 7, "unknown": 2,
    }  # fmt: skip
    with database.read(old_engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM procrastinate_jobs")) == 2
