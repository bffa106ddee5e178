"""Leases; a label is undone at most once; an index by which the label that counts is found at once.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and exchange two indexes."""
    op.create_table(
        "leases",
        sa.Column("scene", sa.String(200), nullable=False),
        sa.Column("pair_key", sa.String(500), nullable=False),
        sa.Column("annotator", sa.String(80), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("scene", "pair_key", name=op.f("pk_leases")),
    )
    # Two tabs could undo one label at the same moment: the second row says nothing new and would break the unique index.
    op.execute(
        "DELETE FROM decisions WHERE undoes IS NOT NULL"
        " AND id NOT IN (SELECT MIN(id) FROM decisions WHERE undoes IS NOT NULL GROUP BY undoes)"
    )
    op.drop_index(op.f("ix_decisions_undoes"), "decisions")
    op.create_index(op.f("ix_decisions_undoes"), "decisions", ["undoes"], unique=True)
    op.drop_index(op.f("ix_decisions_scene_pair_key_id"), "decisions")
    op.create_index(
        op.f("ix_decisions_scene_pair_key_annotator_created_at_id"),
        "decisions",
        ["scene", "pair_key", "annotator", "created_at", "id"],
    )


def downgrade() -> None:
    """Drop the table and exchange the indexes back."""
    op.drop_index(op.f("ix_decisions_scene_pair_key_annotator_created_at_id"), "decisions")
    op.create_index(op.f("ix_decisions_scene_pair_key_id"), "decisions", ["scene", "pair_key", "id"])
    op.drop_index(op.f("ix_decisions_undoes"), "decisions")
    op.create_index(op.f("ix_decisions_undoes"), "decisions", ["undoes"])
    op.drop_table("leases")
