"""The tables of the workers' queue, on PostgreSQL only: Procrastinate's own SQL, as of 3.10.

Frozen beside this file: what a step lays down may not depend on the library that happens to be
installed. A release of Procrastinate that changes its tables takes a step of its own here.
"""

from __future__ import annotations

from pathlib import Path

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
    sql = Path(__file__).with_name("procrastinate_3_10.sql").read_text("utf-8")
    # The driver's own call: its colons and percent signs are no parameters.
    connection.connection.driver_connection.execute(sql)  # type: ignore[union-attr]
