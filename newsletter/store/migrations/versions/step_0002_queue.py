"""The tables of the workers' queue, on PostgreSQL only: Procrastinate's own SQL, from 3.10 on.

The library that runs lays them down: its code and its tables belong together. A release that
changes them takes a step of its own here, which applies its migrations to older databases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    # A worker of the first version laid them down by itself, of the same release.
    if connection.scalar(sa.text("SELECT to_regclass('procrastinate_jobs')")) is not None:
        return
    from procrastinate.schema import SchemaManager

    sql = SchemaManager.get_schema()
    # The driver's own call: its colons and percent signs are no parameters.
    connection.connection.driver_connection.execute(sql)  # type: ignore[union-attr]  # it is open
