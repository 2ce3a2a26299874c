"""Opens a publication's database, brought to the newest schema.

In: the settings. Out: an Engine on tables that this version understands. Never: a downgrade; a
database written by a newer version is refused untouched.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from newsletter.config import FILE_NAME, Settings
from newsletter.errors import ConfigError, StoreError
from newsletter.store import database
from newsletter.store.migrations import HEAD

# What a URL to be mended is told by the server, in English or in French (3D000, 28000, 28P01: libpq
# hands on no SQLSTATE of a refused connection), or by libpq before it asks one.
_WRONG_URL = re.compile(
    r"(?:database|role) \S+ does not exist|password authentication failed|no password supplied"
    r"|no pg_hba\.conf entry|(?:base de données|rôle) « .* » n'existe pas"
    r"|authentification par mot de passe échouée|aucune entrée dans pg_hba\.conf"
    r"|invalid connection option|invalid \S+ value: |bad value for "
)


def open_store(settings: Settings) -> Engine:
    """Return the publication's Engine; create or upgrade the tables when they are not current.

    Raise ConfigError when the server refuses what database.url says, StoreError for other faults.
    """
    url = settings.database_url
    if path := database.sqlite_path(url):
        _make_file(path)
    engine = database.open_engine(url)
    try:
        with database.read(engine) as connection:
            current = _read_version(connection)
    except StoreError as error:
        if _WRONG_URL.search(error.message):
            raise _blame_url(error, settings) from error
        raise
    if current != HEAD:
        upgrade(engine)
    return engine


def _make_file(path: Path) -> None:
    """Make an empty file of SQLite that no stranger on this machine may read (P12).

    What lies beside it (``-wal``, ``-shm``) gets its rights.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder cannot be made: {error.strerror}", path=str(path.parent)
        ) from None
    with suppress(OSError):  # there already; or SQLite will say what it cannot do
        # A link may lead where no file is yet, to a volume for instance; or in a circle, which
        # Path.resolve would not bear.
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL, 0o660))


def _blame_url(error: StoreError, settings: Settings) -> ConfigError:
    """Return the error to raise: trying again does not mend a wrong name or password."""
    said = re.split(r"FATAL ?:|connection is bad:|refused:", error.message)[-1].strip()
    return ConfigError(
        f"database.url: {said}",
        key="database.url",
        path=str(settings.root / FILE_NAME),
        remedy="mend database.url there, or NEWSLETTER_DATABASE__URL",
    )


def upgrade(engine: Engine) -> None:
    """Run the missing steps in one transaction. Raise StoreError for a newer database."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "newsletter:store/migrations")
    with database.write(engine) as connection:
        _exclude_others(connection)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreError(
                f"this database was written by another version: {error}",
                remedy="install the version that wrote it, or a newer one",
            ) from None


def _exclude_others(connection: Connection) -> None:
    """Let one process upgrade: those that start at the same time find its work done."""
    # SQLite: the write transaction began IMMEDIATE and excludes every other writer already.
    if connection.dialect.name == "postgresql":
        # However long they take, and whoever reads a table that a step changes, such as a backup.
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('newsletter upgrade'))"))


def _read_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version
