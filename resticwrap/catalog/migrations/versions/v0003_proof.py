"""Evidence, and when objects were last drilled."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evidence",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("installation", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("target", "installation", "seq", name="pk_evidence"),
    )
    op.create_index("ix_evidence_target_at", "evidence", ["target", "at"])
    op.create_table(
        "drilled",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("target", "domain", "path", name="pk_drilled"),
    )
