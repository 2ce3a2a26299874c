import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from procrastinate.schema import SchemaManager
from sqlalchemy import create_engine, insert, inspect, make_url, select, text
from sqlalchemy.exc import OperationalError

from newsletter.errors import ConfigError, StoreError
from newsletter.store import database, opening, schema
from newsletter.store.migrations import HEAD
from tests.waiting import wait_until


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
        context = MigrationContext.configure(connection, opts={"include_name": _is_ours})
        differences = compare_metadata(context, schema.metadata)
    engine.dispose()
    assert differences == []


def _is_ours(name, _kind, _parents) -> bool:
    return not (name or "").startswith("procrastinate_")  # the queue's tables are its library's


def test_the_queues_tables_are_laid_down_with_ours(settings, empty_url):
    engine = opening.open_store(with_database(settings, empty_url))
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
    engine.dispose()
    expected = set(re.findall(r"CREATE TABLE (\w+)", SchemaManager.get_schema()))
    found = {name for name in tables if not _is_ours(name, "", "")}
    assert found == (expected if engine.dialect.name == "postgresql" else set())


def test_an_upgrade_waits_for_another_however_long_that_takes(postgres_engine, postgres_url):
    other = database.open_engine(postgres_url, busy_timeout_ms=1)
    waits = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        "AND clock_timestamp() > waitstart + interval '50 ms'"
    )
    with ThreadPoolExecutor(1) as pool:
        with database.write(postgres_engine) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('newsletter upgrade'))"))
            waiting = pool.submit(opening.upgrade, other)
            wait_until(lambda: waiting.done() or connection.scalar(waits))
            assert not waiting.done()
        waiting.result()
    other.dispose()


UPGRADE = """
import sys
from newsletter.store import database, opening
input()
opening.upgrade(database.open_engine(sys.argv[1]))
"""


def test_processes_that_come_to_an_empty_database_at_once_lay_it_down_once(empty_url):
    # Processes, for Alembic's context is one to a process.
    racers = [
        subprocess.Popen([sys.executable, "-c", UPGRADE, empty_url], stdin=subprocess.PIPE)
        for _ in range(3)
    ]
    for racer in racers:
        racer.stdin.write(b"go\n")
        racer.stdin.close()
    assert [racer.wait(60) for racer in racers] == [0, 0, 0]


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"username": "nobody"}, 'role "nobody" does not exist'),
        ({"query": {"foo": "bar"}}, 'invalid connection option "foo"'),
        ({"query": {"connect_timeout": "abc"}}, "bad value for connect_timeout: 'abc'"),
        ({"query": {"sslmode": "bogus"}}, 'invalid sslmode value: "bogus"'),
    ],
)
def test_a_url_that_the_server_refuses_is_a_setting_to_be_mended(
    settings, postgres_server, change, said
):
    url = make_url(postgres_server).set(**({"database": "postgres"} | change))
    with pytest.raises(ConfigError) as caught:
        opening.open_store(with_database(settings, url.render_as_string(hide_password=False)))
    error = caught.value
    assert (error.message, error.key) == (f"database.url: {said}", "database.url")
    assert error.path.endswith("newsletter.toml")
    assert "NEWSLETTER_DATABASE__URL" in error.remedy


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('FATAL:  password authentication failed for user "letter"', ConfigError),
        ("FATAL:  authentification par mot de passe échouée pour l'utilisateur « letter »",
         ConfigError),
        ("FATAL:  la base de données « letter » n'existe pas", ConfigError),
        ("FATAL:  the database system is starting up", StoreError),
        ("FATAL:  sorry, too many clients already", StoreError),
        ("Connection refused", StoreError),
    ],
)  # fmt: skip
def test_only_what_trying_again_does_not_mend_is_a_setting(settings, monkeypatch, said, kind):
    def refuse(_connection):
        cause = Exception(f'connection failed: connection to server at "db", port 5432: {said}')
        raise OperationalError("", None, cause)

    monkeypatch.setattr(opening, "_read_version", refuse)
    with pytest.raises(kind) as caught:
        opening.open_store(settings)
    assert ("NEWSLETTER_DATABASE__URL" in caught.value.remedy) is (kind is ConfigError)
    assert caught.value.__cause__ is not caught.value


def test_no_stranger_may_read_a_file_that_holds_people(settings):
    engine = opening.open_store(settings)
    path = database.sqlite_path(settings.database_url)
    files = path.parent.glob(f"{path.name}*")
    assert {file.stat().st_mode & 0o007 for file in files} == {0}
    engine.dispose()


def test_no_stranger_may_read_a_file_made_at_the_other_end_of_a_link(settings, tmp_path):
    volume = tmp_path / "volume.db"
    path = database.sqlite_path(settings.database_url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(volume)
    opening.open_store(settings).dispose()
    assert volume.stat().st_mode & 0o007 == 0


def test_a_link_that_leads_to_itself_is_no_database(settings):
    path = database.sqlite_path(settings.database_url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path)
    with pytest.raises(StoreError, match="cannot be opened"):
        opening.open_store(settings)


def test_a_database_of_a_newer_version_is_refused_untouched(settings):
    engine = opening.open_store(settings)
    with database.write(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match="another version"):
        opening.open_store(settings)
