"""What a second model said of a pair, where its verdict stood beside the first one's.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; older labels have only one verdict."""
    op.add_column("decisions", sa.Column("beside", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it. The first verdict stays."""
    op.drop_column("decisions", "beside")
