"""A window's rows handed to the database as one value: id → text.

In: ids and what is written beside each. Out: conditions and columns that a statement is made of,
one kind for each dialect. Never: one statement a row. Between two rows the driver lets go of the
interpreter's lock, and has to wait for it while the connections are at work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)

from newsletter.store import schema

_delivery = schema.delivery


class Given(NamedTuple):
    """Which rows were handed over, and the text that came with each."""

    chosen: ColumnElement[bool]
    text: ColumnElement[str]


def hand_over(connection: Connection, texts: Mapping[int, str]) -> dict[str, Any]:
    """Return the values that go with ``GIVEN``."""
    if connection.dialect.name == "sqlite":
        return {"given": json.dumps(texts)}
    return {"ids": list(texts.keys()), "texts": list(texts.values())}


def _read_json() -> Given:
    """SQLite: one object, id → text. A join would make its planner read the whole run."""
    ids = func.json_each(bindparam("given")).table_valued("key").c.key
    quote = literal_column("'\"'", Text)
    path = literal_column("'$.'", Text) + quote + cast(_delivery.c.subscriber_id, Text) + quote
    return Given(
        _delivery.c.subscriber_id.in_(select(cast(ids, BigInteger))),
        func.json_extract(bindparam("given"), path),
    )


def _read_arrays() -> TableValuedAlias:
    """PostgreSQL: two arrays side by side."""
    ids, texts = bindparam("ids", type_=ARRAY(BigInteger)), bindparam("texts", type_=ARRAY(Text))
    return func.unnest(ids, texts).table_valued("id", "text", name="given").render_derived()


def _lock(arrays: TableValuedAlias) -> Given:
    locked = (
        select(_delivery.c.subscriber_id, arrays.c.text)
        .join(arrays, arrays.c.id == _delivery.c.subscriber_id)
        .where(_delivery.c.run_id == bindparam("run"))
        .with_for_update(skip_locked=True, of=_delivery)
        .cte("locked")
    )
    return Given(_delivery.c.subscriber_id == locked.c.subscriber_id, locked.c.text)


_ARRAYS = _read_arrays()
GIVEN: Mapping[str, Given] = {
    "sqlite": _read_json(),
    "postgresql": Given(_delivery.c.subscriber_id == _ARRAYS.c.id, _ARRAYS.c.text),
}
# PostgreSQL: locked once and joined by the key, as a subquery may lock the window again for each
# row of the run. What another worker holds is left to it.
LOCKED = _lock(_ARRAYS)
