"""Opens the database, and its transactions.

In: a URL. Out: an Engine whose write transactions begin IMMEDIATE on SQLite, with WAL and
synchronous=FULL, and are on the disk of PostgreSQL as well when they have committed (a lost commit
of ``sending`` would be a duplicate). Never: SQL of one table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError

from newsletter.errors import Busy, ConfigError, StoreError

CHUNK = 500  # rows or keys of one statement
BUSY_TIMEOUT_MS = 5_000
HURRIED_TIMEOUT_MS = 500  # of a process that was told to end
# libpq's: no firewall forgets a session that is quiet, and a server that is gone without a word
# (a failover, a cut cable) is known to be so in seconds, not in the quarter of an hour of TCP.
_PROBES = {
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

_T = TypeVar("_T")


def in_chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Cut rows or keys into as many as one statement takes."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def open_engine(url: str, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """Return an Engine for *url*; nothing is created and no schema is checked.

    Raise ConfigError when the URL names neither SQLite nor PostgreSQL.
    """
    if url.startswith("sqlite:"):
        return _open_sqlite(url, busy_timeout_ms)
    if url.startswith("postgresql+psycopg:"):
        # Values of a statement are people: no error may show them (P12).
        terms = {**_PROBES, **make_url(url).query}  # the URL's own word comes last
        engine = create_engine(
            url,
            # Whatever the server's default is: who waited for a lock sees what its holder wrote.
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=terms,
        )
        _set_waits(engine, busy_timeout_ms)
        return engine
    raise ConfigError(
        "database.url must begin with sqlite:/// or postgresql+psycopg://", key="database.url"
    )


def _open_sqlite(url: str, busy_timeout_ms: int) -> Engine:
    waiting = {"timeout": busy_timeout_ms / 1000}
    # To the letter: SQLAlchemy reads %41 in the name of a folder as an A, or not, by its version.
    place = URL.create("sqlite", database=url.removeprefix("sqlite://").removeprefix("/"))
    engine = create_engine(place, connect_args=waiting, hide_parameters=True)
    path = Path(engine.url.database or ":memory:").absolute()

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        # The driver's own implicit BEGIN is deferred, and a deferred transaction that reads and
        # then writes is refused at once, whatever the busy timeout: we begin them ourselves.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        # Whoever is erased is gone from the file as well (P9), however SQLite was compiled.
        cursor.execute("PRAGMA secure_delete = ON")
        cursor.close()
        record.info["file"] = _identify(path)

    @event.listens_for(engine, "checkout")
    def _look(_connection: Any, record: Any, _proxy: object) -> None:
        # SQLite goes on with a file that was put aside, and all that it writes there is lost. While
        # there is none, a new connection would make an empty one.
        if _identify(path) not in {None, record.info["file"]}:
            raise DisconnectionError("another file stands there")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.info["file"] != _identify(path):
            raise StoreError(
                "the database's file was replaced or removed", path=str(path), remedy="try again"
            )
        options = connection.get_execution_options()
        timeout_ms = HURRIED_TIMEOUT_MS if options.get("hurries") else busy_timeout_ms
        if connection.info.setdefault("busy_timeout_ms", busy_timeout_ms) != timeout_ms:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {timeout_ms}")
            connection.info["busy_timeout_ms"] = timeout_ms
        connection.exec_driver_sql("BEGIN" if options.get("read_only") else "BEGIN IMMEDIATE")

    return engine


def _identify(path: Path) -> tuple[int, int] | None:
    """Say which file stands at *path*, None when there is none: a database in memory has none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _set_waits(engine: Engine, busy_timeout_ms: int) -> None:
    """Let PostgreSQL wait for a lock no longer than SQLite does, and for its disk as SQLite does.

    It would wait for ever for the one, and where it was told so not at all for the other.
    """

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # Whoever set it, in the URL, for the role or for the server, has the last word. Not among
        # the options of the connection: poolers refuse those they do not know.
        connection.execute(
            "SELECT set_config('lock_timeout', %s, false) FROM pg_settings "
            "WHERE name = 'lock_timeout' AND source = 'default'",
            (str(busy_timeout_ms),),
        )
        # This one is nobody else's to set: see the head. Standbys are waited for where they were.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'local', false) FROM pg_settings "
            "WHERE name = 'synchronous_commit' AND setting = 'off'"
        )
        connection.commit()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("hurries"):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {HURRIED_TIMEOUT_MS}")


@contextmanager
def write(engine: Engine, *, hurries: bool = False) -> Iterator[Connection]:
    """One transaction that may write: commits at the end, rolls back on any exception.

    Raise Busy when the database stays locked, StoreError for every other fault of the driver.
    *hurries*: Busy is raised after half a second.
    """
    with translated(engine), engine.connect() as connection:
        connection.execution_options(hurries=hurries)
        with connection.begin():
            yield connection


def connect(engine: Engine) -> Connection:
    """Return a connection for ``write_on``, to be closed by the caller; raise StoreError."""
    with translated(engine):
        return engine.connect()


@contextmanager
def write_on(connection: Connection, *, hurries: bool = False) -> Iterator[None]:
    """One transaction as ``write``, on a connection that is kept from one to the next.

    After any exception the connection is to be closed: its server may be gone.
    """
    connection.execution_options(hurries=hurries)
    with translated(connection.engine), connection.begin():
        yield


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """One transaction that sees one state of the database and writes nothing."""
    with (
        translated(engine),
        engine.connect().execution_options(read_only=True) as connection,
        connection.begin(),  # committed: after a rollback psycopg prepares its statements anew
    ):
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Raise the driver's faults as ours: Busy, StoreError."""
    try:
        yield
    except DBAPIError as error:
        operational = isinstance(error, OperationalError)
        said = _explain(error) if operational else _explain_refusal(error.orig)
        if engine.dialect.name == "sqlite":
            said.path = engine.url.database
        raise said from error


def _explain_refusal(cause: BaseException | None) -> StoreError:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return StoreError(
            f"the database is damaged: {cause}", remedy="bring back the last good copy of its file"
        )
    # PostgreSQL's detail quotes the values of the row.
    said = getattr(getattr(cause, "diag", None), "message_primary", None)
    return StoreError(f"the database refused: {said or cause}")


def _explain(error: DBAPIError) -> StoreError:
    cause = error.orig
    known = _explain_sqlite(cause) if isinstance(cause, sqlite3.OperationalError) else None
    if known is not None:
        return known
    if getattr(cause, "sqlstate", None) == "55P03":  # lock_not_available
        return Busy(
            "the database is locked",
            remedy="another command is writing, or a session left its transaction open; try again",
        )
    said = " ".join(str(cause).split())  # PostgreSQL's driver writes two lines
    return StoreError(f"the database does not answer: {said}", remedy="try again")


def _explain_sqlite(cause: sqlite3.OperationalError) -> StoreError | None:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Busy("the database is locked", remedy="another command is writing; try again")
    if code == sqlite3.SQLITE_FULL:
        return StoreError("the disk is full", remedy="make room, then run it again")
    if code == sqlite3.SQLITE_READONLY:
        return StoreError("the database is read-only", remedy="check its rights")
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError("the database cannot be opened", remedy="check the folder's rights")
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(f"the disk is full, or fails: {cause}", remedy="make room, or mend it")
    return None


def empty_journal(engine: Engine) -> None:
    """Write SQLite's journal into its file and cut it: it may hold pages of somebody erased.

    Gives up soon when others are at work: their next checkpoint writes over it.
    """
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        (patience_ms,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {min(patience_ms, 200)}")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.execute(f"PRAGMA busy_timeout = {patience_ms}")
    finally:
        connection.close()


def take_turns(connection: Connection, lock: ColumnElement[Any]) -> None:
    """Take an advisory *lock* of PostgreSQL, however long others work under it.

    Only transactions of ours hold one, and those end: what else they wait for is limited. SQLite
    has one writer anyway.
    """
    if connection.dialect.name != "postgresql":
        return
    limit = connection.scalar(text("SHOW lock_timeout"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(select(lock))
    connection.execute(text("SELECT set_config('lock_timeout', :limit, true)"), {"limit": limit})


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite URL, or None for another database."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def dialect_insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that knows ON CONFLICT: both dialects have it, the common one has not."""
    postgres = connection.dialect.name == "postgresql"
    return postgresql.insert(table) if postgres else sqlite.insert(table)
