"""The few statements that every message pays for, run by the driver itself.

In: a statement of SQLAlchemy Core, values. Out: the driver's own tuples. Never: another text than
SQLAlchemy compiles for the dialect; a value by any way but a parameter.

Compiling, binding and wrapping rows cost several times what the database takes for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

from newsletter.store.schema import Instant

_INSTANT = Instant()


class _Prepared(NamedTuple):
    """``names``: the order of its values, None where they go by name."""

    sql: str
    names: tuple[str, ...] | None
    fixed: Mapping[str, Any]  # what the statement itself binds

    def arrange(self, values: Mapping[str, Any]) -> Any:
        return values if self.names is None else tuple(map(values.__getitem__, self.names))


def execute(connection: Connection, statement: ClauseElement, values: Mapping[str, Any]) -> Any:
    """Execute *statement* once, inside a transaction that was begun; return the driver's cursor.

    Raise DBAPIError, as SQLAlchemy does.
    """
    dialect = connection.dialect
    prepared = _prepare(statement, dialect)
    driver: Any = connection.connection.dbapi_connection  # also of a detached connection
    try:
        return driver.execute(prepared.sql, prepared.arrange({**prepared.fixed, **values}))
    except dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(
            prepared.sql,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,  # values are people (P12)
            dialect=dialect,
        ) from error


def fetch(
    connection: Connection, statement: ClauseElement, values: Mapping[str, Any]
) -> Sequence[Any]:
    """Execute *statement* and return its rows as the driver gives them."""
    rows: Sequence[Any] = execute(connection, statement, values).fetchall()
    return rows


def instant(connection: Connection, at: datetime) -> Any:
    """Return *at* as the driver keeps it."""
    return _INSTANT.process_bind_param(at, connection.dialect)


@cache
def _prepare(statement: ClauseElement, dialect: Dialect) -> _Prepared:
    compiled: Any = statement.compile(dialect=dialect)
    names = tuple(compiled.positiontup) if compiled.positiontup else None
    return _Prepared(str(compiled), names, dict(compiled.params))
