"""Jobs and snapshots for tests: some by hand, some by hypothesis."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st

from resticwrap.model.job import DomainRun, ErrorInfo, Job, Latest, LatestDomain, Manifest, ObjectList, Pin
from resticwrap.model.snapshot import Snapshot, Tags

START = datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)
HOST = "school-1"


def at(minutes: float) -> datetime:
    """So many minutes after the start."""
    return START + timedelta(minutes=minutes)


def a_run(domain: str = "exams", **changes: Any) -> DomainRun:
    run = DomainRun(
        domain=domain,
        layer="raw",
        priority="P0",
        outcome="ok",
        type="incremental",
        looked_at=START,
        finished_at=at(1),
        snapshot="a" * 64,
        tree="b" * 64,
        files=7,
        size=7000,
        added=700,
        files_new=1,
        files_changed=2,
        files_removed=3,
        duration=1.5,
    )
    return msgspec.structs.replace(run, **changes)


def a_job(job_id: str = "snapshot_20260301T080000Z_aaaaaa", **changes: Any) -> Job:
    """A backup job that is running; `closed` ends it."""
    job = Job(
        id=job_id, kind="backup", target="oss", outcome="running", started_at=START, host=HOST, pid=4711, type="full"
    )
    return msgspec.structs.replace(job, **changes)


def closed(job: Job, outcome: str = "ok", **changes: Any) -> Job:
    return msgspec.structs.replace(job, outcome=outcome, finished_at=at(2), **changes)


def a_snapshot(name: str = "a", domain: str = "exams", **changes: Any) -> Snapshot:
    tags = Tags(
        domain=domain, layer="raw", priority="P0", job="j", type="incremental", tier="hot", expire_after_days=30
    )
    snapshot = Snapshot(
        id=name * 64,
        original=name * 64,
        time=START,
        tree="b" * 64,
        host=HOST,
        paths=("/exams",),
        tags=tags,
        files=7,
        size=7000,
        added=700,
    )
    return msgspec.structs.replace(snapshot, **changes)


def a_latest(target: str = "oss") -> Latest:
    exams = LatestDomain(snapshot="a" * 64, current_id="c" * 64, tree="b" * 64, looked_at=START, root="/srv/exams")
    return Latest(target=target, job_id="j1", finished_at=at(1), domains={"exams": exams})


def a_manifest(job_id: str = "snapshot_20260301T080000Z_aaaaaa", **changes: Any) -> Manifest:
    manifest = Manifest(
        job_id=job_id,
        target="oss",
        target_provider="oss",
        namespace="school",
        repositories={"hot": "d" * 64},
        chunker="3bc0d5f5ba5bd7",
        host=HOST,
        outcome="ok",
        started_at=START,
        finished_at=at(2),
        snapshot_type="full",
        domains=(),
        object_list=ObjectList(mode="sealed"),
        schema_versions={},
        restore_entrypoint="rw restore",
        tool_versions={"restic": "0.18.0"},
    )
    return msgspec.structs.replace(manifest, **changes)


def a_pin(tier: str) -> Pin:
    return Pin(tier=tier, repository_id="d" * 64, config_digest="e" * 64, chunker="3bc0d5f5ba5bd7")


counts = st.integers(0, 2**62)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
times = st.integers(-(10**15), 10**16).map(lambda micros: START + timedelta(microseconds=micros))
spans = st.floats(0, 1e9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
problems = st.builds(ErrorInfo, kind=names, message=texts, hint=texts, exit_code=st.integers(0, 255))
runs = st.builds(
    DomainRun,
    domain=names,
    layer=st.sampled_from(["raw", "derived", "serving"]),
    priority=st.sampled_from(["P0", "P1", "P2"]),
    outcome=st.sampled_from(["ok", "unchanged", "partial", "failed", "interrupted", "skipped"]),
    type=st.sampled_from(["incremental", "full"]),
    looked_at=times,
    finished_at=times,
    snapshot=st.none() | names,
    parent=st.none() | names,
    tree=st.none() | names,
    root=texts,
    files=counts,
    size=counts,
    added=counts,
    files_new=counts,
    files_changed=counts,
    files_removed=counts,
    duration=spans,
    missed=st.lists(texts, max_size=2).map(tuple),
    missed_count=counts,
    bitrot=st.lists(texts, max_size=2).map(tuple),
    schema_versions=st.dictionaries(texts, st.integers(1, 99), max_size=2),
    error=st.none() | problems,
)
job_ids = st.from_regex(r"\A[a-z]{1,8}_[0-9TZ]{16}_[0-9a-f]{6}\Z")
job_values = st.builds(
    Job,
    id=job_ids,
    kind=st.sampled_from(["init", "backup", "verify", "restore"]),
    target=names,
    outcome=st.sampled_from(["running", "ok", "partial", "failed", "interrupted"]),
    started_at=times,
    host=texts,
    pid=st.integers(1, 2**22),
    finished_at=st.none() | times,
    type=st.none() | st.sampled_from(["incremental", "full"]),
    domains=st.lists(runs, max_size=3).map(tuple),
    bytes_done=counts,
    error=st.none() | problems,
    details=st.dictionaries(texts, json_values, max_size=3),
    manifest=st.none() | texts,
)
