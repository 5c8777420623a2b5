"""Runs of the schedule, the history of alerts, what each machine promises, and what is counted over all jobs."""

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
    count()


def count() -> None:
    """Jobs that have ended get a table without their records, and what is counted lies in an index."""
    op.create_table(
        "job_ends",
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("type", sa.String()),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job", name="pk_job_ends"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_job_ends_job_jobs", ondelete="CASCADE"),
    )
    columns = ["target", "kind", "type", "outcome", "started_at", "finished_at"]
    op.create_index(f"ix_job_ends_{'_'.join(columns)}", "job_ends", columns)
    # A record that is no JSON is somebody else's to complain of.
    kind = "CASE WHEN json_valid(record) THEN json_extract(record, '$.type') END"
    if op.get_bind().dialect.name == "postgresql":
        kind = "CAST(record AS json) ->> 'type'"
    op.execute(
        "INSERT INTO job_ends (job, target, kind, type, outcome, started_at, finished_at) "
        f"SELECT id, target, kind, {kind}, outcome, started_at, coalesce(finished_at, started_at) "
        "FROM jobs WHERE outcome <> 'running'"
    )
    op.create_index("ix_jobs_target_kind_started_at", "jobs", ["target", "kind", "started_at"])
    op.drop_index("ix_jobs_target_outcome", "jobs")
    op.create_index("ix_jobs_target_outcome_started_at", "jobs", ["target", "outcome", "started_at"])
    op.drop_index("ix_domain_runs_target_domain_looked_at_complete", "domain_runs")
    columns = ["target", "domain", "looked_at", "complete", "outcome", "added"]
    op.create_index(f"ix_domain_runs_{'_'.join(columns)}", "domain_runs", columns)
