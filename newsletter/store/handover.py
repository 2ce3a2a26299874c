"""A window's rows handed to the database as one value: id → text.

In: ids and what is written beside each; a condition. Out: what a statement about these rows of one
run is made of, one kind for each dialect. Never: one statement a row. Between two rows the driver
lets go of the interpreter's lock, and has to wait for it while the connections are at work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql.elements import Grouping  # ``$1::TEXT[][n]`` would be another type, no element

from newsletter.store import schema

_delivery = schema.delivery

#: What a row has to meet, given the text that came with it.
Condition = Callable[[ColumnElement[str]], ColumnElement[bool]]


class Given(NamedTuple):
    """Which rows were handed over and meet the condition, and the text that came with each."""

    chosen: ColumnElement[bool]
    text: ColumnElement[str]


def hand_over(connection: Connection, texts: Mapping[int, str]) -> dict[str, Any]:
    """Return the values that go with ``choose``; the run is a value of the statement's own."""
    if connection.dialect.name == "sqlite":
        return {"given": json.dumps(texts)}
    # Spelled here: the driver takes 2 µs for each element of a list.
    quoted = map(_quote, texts.values())
    return {"ids": f"{{{','.join(map(str, texts))}}}", "texts": f"{{{','.join(quoted)}}}"}


def _quote(text: str) -> str:
    """Return *text* as an element of an array's literal (PostgreSQL 8.15.6)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def choose(dialect: str, condition: Condition, *, skips_locked: bool = False) -> Given:
    """Return how an UPDATE finds the rows of ``:run`` that were handed over.

    *skips_locked* leaves to another worker what it holds (PostgreSQL; SQLite has one writer).
    """
    if dialect == "sqlite":
        return _choose_by_json(condition)
    given = _choose_by_key(condition)
    return _skip_locked(given) if skips_locked else given


def _choose_by_json(condition: Condition) -> Given:
    """One object, id → text. A join would make SQLite's planner read the whole run."""
    ids = func.json_each(bindparam("given")).table_valued("key").c.key
    quote = literal_column("'\"'", Text)
    path = literal_column("'$.'", Text) + quote + cast(_delivery.c.subscriber_id, Text) + quote
    text = func.json_extract(bindparam("given"), path)
    chosen = and_(
        _delivery.c.run_id == bindparam("run"),
        _delivery.c.subscriber_id.in_(select(cast(ids, BigInteger))),
        condition(text),
    )
    return Given(chosen, text)


def _choose_by_key(condition: Condition) -> Given:
    """Two arrays side by side; each row is sought by its key alone.

    The condition stands inside a CASE, where PostgreSQL's planner cannot seek by it: it would read
    the whole run for a window of a small one, and in a large one all that the index ever knew as
    ``sending``, dead entries included. The place of a key is looked for in the array itself: a join
    would make a table of the arrays first, at twice the cost of the UPDATE.
    """
    ids, texts = bindparam("ids", type_=ARRAY(BigInteger)), bindparam("texts", type_=ARRAY(Text))
    text = Grouping(texts)[func.array_position(ids, _delivery.c.subscriber_id)]
    chosen = and_(
        _delivery.c.run_id == bindparam("run"),
        _delivery.c.subscriber_id == any_(ids),
        case((condition(text), true()), else_=false()),
    )
    return Given(chosen, text)


def _skip_locked(given: Given) -> Given:
    """Lock first, then change by key.

    Not by ``ctid``: a row that changed while its lock was waited for has another since the
    snapshot.
    """
    locked = (
        select(_delivery.c.subscriber_id)
        .where(given.chosen)
        .with_for_update(skip_locked=True, of=_delivery)
        .correlate(None)
        .scalar_subquery()
    )
    by_key = and_(
        _delivery.c.run_id == bindparam("run"),
        _delivery.c.subscriber_id == any_(func.array(locked)),
    )
    return Given(by_key, given.text)
