"""How far a database has come, so that an older state of the same one is found out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for name in ("generation", "spent_run_id"):
        number = sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
        op.add_column("instance", number)
