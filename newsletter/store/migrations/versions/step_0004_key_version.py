"""The key that a run's messages are signed with, whatever keys are added before a repeat."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("run", sa.Column("key_version", sa.Integer(), nullable=True))
