"""The first table: decisions.

Revision ID: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("annotator", sa.String(80), nullable=False),
        sa.Column("scene", sa.String(200), nullable=False),
        sa.Column("pair_key", sa.String(500), nullable=False),
        sa.Column("view_a", sa.String(200), nullable=False),
        sa.Column("mask_a", sa.Integer(), nullable=False),
        sa.Column("view_b", sa.String(200), nullable=False),
        sa.Column("mask_b", sa.Integer(), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.Column("model", sa.String(200), nullable=True),
        sa.Column("prompt", sa.String(80), nullable=True),
        sa.Column("p_same", sa.Float(), nullable=True),
        sa.Column("ambiguity", sa.Float(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("queue", sa.String(80), nullable=False),
        sa.Column("source", sa.String(80), nullable=False),
        sa.CheckConstraint("decision IN ('same', 'different', 'unsure', 'skip')", name=op.f("ck_decisions_known_decision")),
        sa.CheckConstraint("p_same IS NULL OR (p_same >= 0 AND p_same <= 1)", name=op.f("ck_decisions_p_same_is_probability")),
        sa.ForeignKeyConstraint(["undoes"], ["decisions.id"], name=op.f("fk_decisions_undoes_decisions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        sa.UniqueConstraint("uuid", name=op.f("uq_decisions_uuid")),
    )
    op.create_index(op.f("ix_decisions_scene_pair_key_id"), "decisions", ["scene", "pair_key", "id"])
    op.create_index(op.f("ix_decisions_undoes"), "decisions", ["undoes"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("decisions")
