"""The first schema: jobs, their runs of domains, snapshots, proofs, and which packs were read back when."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("manifest", sa.String(), nullable=True),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_target_started_at", "jobs", ["target", "started_at"])
    op.create_index("ix_jobs_target_outcome", "jobs", ["target", "outcome"])
    op.create_table(
        "domain_runs",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=False),
        sa.Column("files_new", sa.BigInteger(), nullable=False),
        sa.Column("files_changed", sa.BigInteger(), nullable=False),
        sa.Column("files_removed", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("duration", sa.Float(), nullable=False),
        sa.Column("snapshot", sa.String(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", "position", name="pk_domain_runs"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_domain_runs_job_jobs", ondelete="CASCADE"),
    )
    op.create_index("ix_domain_runs_target_looked_at", "domain_runs", ["target", "looked_at"])
    op.create_index(
        "ix_domain_runs_target_domain_looked_at_complete",
        "domain_runs",
        ["target", "domain", "looked_at", "complete"],
    )
    op.create_table(
        "snapshots",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("original", sa.String(), nullable=False),
        sa.Column("current_id", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("tree", sa.String(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", "tier", "original", name="pk_snapshots"),
    )
    op.create_index("ix_snapshots_target_tier_domain_time", "snapshots", ["target", "tier", "domain", "time"])
    op.create_table(
        "proofs",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("original", sa.String(), nullable=False),
        sa.Column("proven_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", "tier", "original", name="pk_proofs"),
    )
    op.create_table(
        "pack_reads",
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("first_byte", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target", "tier", "first_byte", name="pk_pack_reads"),
    )
