"""Runs of the schedule, the history of alerts, and what each machine promises."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scheduled_runs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("job", sa.String()),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_scheduled_runs"),
    )
    op.create_index("ix_scheduled_runs_host_started_at", "scheduled_runs", ["host", "started_at"])
    op.create_index("ix_scheduled_runs_host_name_started_at", "scheduled_runs", ["host", "name", "started_at"])
    op.create_table(
        "alert_events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_events"),
    )
    op.create_index("ix_alert_events_target_at", "alert_events", ["target", "at"])
    op.create_table(
        "host_domains",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("host", "target", "domain", name="pk_host_domains"),
    )
