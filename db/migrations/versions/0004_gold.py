"""Gold labels, which settle a pair; choices that hold for everybody who labels in a database.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the column; stored labels stay ordinary ones."""
    op.add_column("decisions", sa.Column("is_gold", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "choices",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_choices")),
    )


def downgrade() -> None:
    """Drop both; gold labels become ordinary ones."""
    op.drop_table("choices")
    op.drop_column("decisions", "is_gold")
