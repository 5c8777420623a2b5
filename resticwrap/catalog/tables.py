"""The catalogue's tables. A change here needs a migration in `migrations/versions` and a new HEAD.

Times are whole microseconds since 1970 in UTC: they sort, compare and index alike in every database. What is asked
for often has a column; the rest of a job is in its `record`, the whole Job as JSON.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

HEAD = "0004"
"""The schema that this code speaks. Revisions are numbered, so that a newer catalogue can be told from an older one."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("target", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("host", String, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("manifest", String),
    Column("record", Text, nullable=False),
    Index(None, "target", "started_at"),
    Index(None, "target", "outcome", "started_at"),
    Index(None, "target", "kind", "started_at"),
)

# Jobs that have ended, again and without their records: what is counted over all of them, out of the index alone.
job_ends = Table(
    "job_ends",
    metadata,
    Column("job", String, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("target", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("type", String),
    Column("outcome", String, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger, nullable=False),
    Index(None, "target", "kind", "type", "outcome", "started_at", "finished_at"),
)

# Runs of backup jobs only: what history, status and the calendar count, without decoding a single record.
domain_runs = Table(
    "domain_runs",
    metadata,
    Column("job", String, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("target", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("type", String, nullable=False),
    Column("looked_at", BigInteger, nullable=False),
    Column("files_new", BigInteger, nullable=False),
    Column("files_changed", BigInteger, nullable=False),
    Column("files_removed", BigInteger, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("duration", Float, nullable=False),
    Column("snapshot", String),
    Column("error", Text, nullable=False),
    Index(None, "target", "looked_at"),
    Index(None, "target", "domain", "looked_at", "complete", "outcome", "added"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("target", String, primary_key=True),
    Column("tier", String, primary_key=True),
    Column("original", String, primary_key=True),
    Column("current_id", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("type", String, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("tree", String, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("added", BigInteger, nullable=False),
    Index(None, "target", "tier", "domain", "time"),
)

# Apart from the snapshots: a rebuild removes and brings back those, and cannot bring back a proof.
proofs = Table(
    "proofs",
    metadata,
    Column("target", String, primary_key=True),
    Column("tier", String, primary_key=True),
    Column("original", String, primary_key=True),
    Column("proven_at", BigInteger, nullable=False),
)

pack_reads = Table(
    "pack_reads",
    metadata,
    Column("target", String, primary_key=True),
    Column("tier", String, primary_key=True),
    Column("first_byte", Integer, primary_key=True, autoincrement=False),
    Column("read_at", BigInteger, nullable=False),
)

# Which snapshots somebody wants kept; the bucket has the same records.
pins = Table(
    "pins",
    metadata,
    Column("id", String, primary_key=True),
    Column("target", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "target", "created_at"),
)

# What is known of single packs of the cold repository: read back after a copy, labelled in the bucket.
packs = Table(
    "packs",
    metadata,
    Column("target", String, primary_key=True),
    Column("tier", String, primary_key=True),
    Column("pack", String, primary_key=True),
    Column("proven_at", BigInteger),
    Column("how", String),
    Column("labelled_at", BigInteger),
)

# Records of the chains of evidence, as they were first seen here; the bucket has the chains themselves.
evidence = Table(
    "evidence",
    metadata,
    Column("target", String, primary_key=True),
    Column("installation", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "target", "at"),
)

# When which object was last drilled. Names stay here: no record in the bucket has them.
drilled = Table(
    "drilled",
    metadata,
    Column("target", String, primary_key=True),
    Column("domain", String, primary_key=True),
    Column("path", LargeBinary, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("ok", Boolean, nullable=False),
)

# Runs of the schedule, by the host that the policies name.
scheduled_runs = Table(
    "scheduled_runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("name", String, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("outcome", String, nullable=False),
    Column("job", String),
    Column("record", Text, nullable=False),
    Index(None, "host", "started_at"),
    Index(None, "host", "name", "started_at"),
)

# What became of alerts.
alert_events = Table(
    "alert_events",
    metadata,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("target", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index(None, "target", "at"),
)

# What each machine promises, for those who look at all of them.
host_domains = Table(
    "host_domains",
    metadata,
    Column("host", String, primary_key=True),
    Column("target", String, primary_key=True),
    Column("domain", String, primary_key=True),
    Column("seen_at", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
)

# Alembic's own table, as Alembic makes it: a fresh catalogue is stamped without importing Alembic.
stamps = MetaData()
alembic_version = Table(
    "alembic_version",
    stamps,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
