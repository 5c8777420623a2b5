"""Pins of snapshots, and what is known of the packs of the cold repository."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pins",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pins"),
    )
    op.create_index("ix_pins_target_created_at", "pins", ["target", "created_at"])
    op.create_table(
        "packs",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("pack", sa.String(), nullable=False),
        sa.Column("proven_at", sa.BigInteger(), nullable=True),
        sa.Column("how", sa.String(), nullable=True),
        sa.Column("labelled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("target", "tier", "pack", name="pk_packs"),
    )
