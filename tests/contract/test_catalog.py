"""What every catalogue does, whatever database it lies in."""

import hashlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from resticwrap.catalog.jobs import SqlCatalog
from resticwrap.errors import NotFound
from resticwrap.model.base import to_json
from resticwrap.model.drill import Drilled
from resticwrap.model.evidence import Event, Evidence
from resticwrap.model.job import ErrorInfo, Job
from resticwrap.model.unattended import AlertEvent, HostDomain, ScheduledRun
from resticwrap.ports import Catalog, KnownSnapshot
from tests.unit.catalog.samples import START, a_job, a_run, a_snapshot, at, closed, job_values


def test_is_the_port(catalog: SqlCatalog) -> None:
    """The type checker holds the adapter against the port."""
    port: Catalog = catalog
    assert port.jobs("oss") == []


def test_a_question_makes_no_catalogue(catalog: SqlCatalog, url: str, tmp_path: Path) -> None:
    """Where there is none, nothing is known, and nothing is written by asking; the first record makes it."""
    assert (catalog.present, catalog.jobs("oss"), catalog.job("snapshot_x")) == (False, [], None)
    assert not (tmp_path / "state").exists()
    other = SqlCatalog(url)
    assert not other.present
    catalog.open_job(a_job())
    assert (catalog.present, [job.id for job in catalog.jobs("oss")]) == (True, [a_job().id])
    assert (other.present, [job.id for job in other.jobs("oss")]) == (True, [a_job().id])
    catalog.close()
    other.close()


def test_a_job_is_open_until_it_is_closed(catalog: SqlCatalog) -> None:
    job = a_job()
    catalog.open_job(job)
    assert catalog.open_jobs("oss") == [job]
    assert catalog.open_jobs("local") == []
    done = closed(job, domains=(a_run(),), manifest="backups/m.json")
    catalog.close_job(done)
    assert catalog.open_jobs("oss") == []
    assert catalog.job(job.id) == done


def test_closing_may_be_repeated_and_needs_no_opening(catalog: SqlCatalog) -> None:
    job = closed(a_job(), domains=(a_run("exams"), a_run("profiles")))
    catalog.close_job(job)
    again = msgspec.structs.replace(job, domains=job.domains[:1])
    catalog.close_job(again)
    assert catalog.job(job.id) == again
    assert [row.domain for row in catalog.history("oss")] == ["exams"]


def test_a_late_opening_does_not_reopen(catalog: SqlCatalog) -> None:
    job = a_job()
    catalog.close_job(closed(job))
    catalog.open_job(job)
    assert catalog.open_jobs("oss") == []


def test_opening_again_renews_the_record(catalog: SqlCatalog) -> None:
    catalog.open_job(a_job())
    catalog.open_job(a_job(bytes_done=5))
    assert [job.bytes_done for job in catalog.open_jobs("oss")] == [5]


def test_a_job_is_found_by_an_unambiguous_beginning(catalog: SqlCatalog) -> None:
    first, second = a_job("snapshot_20260301T080000Z_aaaaaa"), a_job("snapshot_20260301T080000Z_ab_aaa")
    catalog.close_jobs([closed(first), closed(second)])
    assert catalog.job("snapshot_20260301T080000Z_aa") == closed(first)
    assert catalog.job("snapshot_20260301T080000Z_ab_") == closed(second)
    assert catalog.job("Snapshot_20260301T080000Z_aa") is None
    assert catalog.job("snapshot%") is None
    assert catalog.job("snap") is None
    with pytest.raises(NotFound, match="2 jobs begin with"):
        catalog.job("snapshot_")


def test_one_id_may_begin_another(catalog: SqlCatalog) -> None:
    catalog.close_jobs([closed(a_job("backup-1")), closed(a_job("backup-12"))])
    found = catalog.job("backup-1")
    assert found is not None
    assert found.id == "backup-1"


def test_jobs_are_listed_newest_first(catalog: SqlCatalog) -> None:
    catalog.close_jobs(closed(a_job(f"job-{n}", started_at=at(n))) for n in range(5))
    catalog.close_job(closed(a_job("check-1", kind="verify", started_at=at(9))))
    catalog.close_job(closed(a_job("elsewhere", target="local")))
    assert [job.id for job in catalog.jobs("oss", limit=3)] == ["check-1", "job-4", "job-3"]
    assert [job.id for job in catalog.jobs("oss", kind="backup", limit=2)] == ["job-4", "job-3"]
    assert [job.id for job in catalog.jobs("oss", kind="backup", type="full", limit=2)] == ["job-4", "job-3"]
    assert catalog.jobs("oss", type="incremental") == []


def test_history_is_of_backups_newest_first(catalog: SqlCatalog) -> None:
    error = ErrorInfo(kind="Locked", message="Somebody else holds it.")
    runs = (a_run("exams"), a_run("profiles", looked_at=at(1), outcome="failed", snapshot=None, error=error))
    catalog.close_job(closed(a_job("job-1"), domains=runs))
    catalog.close_job(closed(a_job("job-2", started_at=at(4)), domains=(a_run("exams", looked_at=at(4)),)))
    catalog.close_job(closed(a_job("check-1", kind="verify"), domains=(a_run("exams", looked_at=at(5)),)))
    rows = catalog.history("oss")
    assert [(row.job, row.domain) for row in rows] == [("job-2", "exams"), ("job-1", "profiles"), ("job-1", "exams")]
    assert (rows[1].error, rows[1].snapshot, rows[1].outcome) == ("Somebody else holds it.", None, "failed")
    last = rows[2]
    assert (last.time, last.kind, last.type, last.snapshot) == (START, "backup", "incremental", "a" * 64)
    assert (last.files_new, last.files_changed, last.files_removed) == (1, 2, 3)
    assert (last.added, last.size, last.duration) == (700, 7000, 1.5)
    assert [row.job for row in catalog.history("oss", domains=["exams"])] == ["job-2", "job-1"]
    assert [row.job for row in catalog.history("oss", since=at(1))] == ["job-2", "job-1"]
    assert [row.job for row in catalog.history("oss", limit=1)] == ["job-2"]
    assert catalog.history("local") == []


def test_times_of_other_zones_are_the_same_instants(catalog: SqlCatalog) -> None:
    there = timezone(timedelta(hours=8))
    catalog.close_job(closed(a_job(), domains=(a_run(looked_at=START.astimezone(there)),)))
    (row,) = catalog.history("oss")
    assert row.time == START
    assert row.time.utcoffset() == timedelta(0)


def test_last_runs_know_the_last_complete_look(catalog: SqlCatalog) -> None:
    def job(number: int, **runs: str) -> Job:
        domains = tuple(a_run(name, outcome=outcome, looked_at=at(number)) for name, outcome in runs.items())
        return closed(a_job(f"job-{number}", started_at=at(number)), domains=domains)

    catalog.close_jobs([job(1, exams="ok", answers="failed"), job(2, exams="unchanged"), job(3, exams="partial")])
    catalog.put_snapshots("oss", "hot", [(a_snapshot(), True)])
    last = catalog.last_runs("oss")
    assert {name: (run.outcome, complete_at) for name, (run, complete_at) in last.items()} == {
        "exams": ("partial", at(2)),
        "answers": ("failed", None),
    }
    assert catalog.last_runs("local") == {}


def test_looks_are_told_oldest_first(catalog: SqlCatalog) -> None:
    """Those of a time, whole and partial; and when a domain was looked at for the first time, however that ended."""
    for number, outcome in ((3, "ok"), (1, "failed"), (2, "partial")):
        run = a_run(outcome=outcome, looked_at=at(number))
        catalog.close_job(closed(a_job(f"job-{number}", started_at=at(number)), domains=(run,)))
    assert [(look.at, look.complete) for look in catalog.looks("oss", at(1), at(3))] == [(at(1), False), (at(2), False)]
    (look,) = catalog.looks("oss", at(3), at(4))
    assert (look.domain, look.complete, look.type, look.added) == ("exams", True, "incremental", 700)
    assert catalog.first_looks("oss") == {"exams": at(1)}
    assert catalog.looks("local", at(0), at(9)) == [] and catalog.first_looks("local") == {}


def test_a_look_counts_for_as_long_as_its_snapshot_is_there(catalog: SqlCatalog) -> None:
    """Where the newest one's is gone, the newest of the others counts; the history keeps them all."""
    for number, name in enumerate("abc", 1):
        run = a_run(looked_at=at(number), snapshot=name * 64)
        catalog.close_job(closed(a_job(f"job-{number}", started_at=at(number)), domains=(run,)))
        catalog.put_snapshots("oss", "hot", [(a_snapshot(name), True)])
    catalog.put_snapshots("oss", "cold", [(a_snapshot("c"), True)])
    for gone, left in (((), at(3)), ("c", at(2)), ("a", at(2)), ("b", None)):
        catalog.forget_snapshots("oss", "hot", [name * 64 for name in gone])
        (run_, complete_at) = catalog.last_runs("oss")["exams"]
        assert (run_.time, complete_at) == (at(3), left)
    assert len(catalog.history("oss")) == 3


def test_days_are_days_of_the_zone(catalog: SqlCatalog) -> None:
    """16:00 in UTC is the next day in Shanghai."""
    looks = [(7 * 60, "ok", "full"), (8.5 * 60, "failed", "full"), (9 * 60, "partial", "full"), (10 * 60, "ok", "full")]
    for number, (minutes, outcome, kind) in enumerate(looks):
        run = a_run(outcome=outcome, type=kind, looked_at=at(minutes), added=10**number)
        catalog.close_job(closed(a_job(f"job-{number}"), domains=(run, a_run("other", looked_at=at(minutes)))))
    days = catalog.days("oss", ["exams"], None, ZoneInfo("Asia/Shanghai"))
    assert [(day.day, day.jobs, day.failed, day.partial, day.full, day.added) for day in days] == [
        ("2026-03-01", 1, 0, 0, 1, 1),
        ("2026-03-02", 3, 1, 1, 1, 1110),
    ]
    assert {day.domain for day in catalog.days("oss", [], None, ZoneInfo("UTC"))} == {"exams", "other"}
    assert sum(day.jobs for day in catalog.days("oss", ["exams"], at(9 * 60), ZoneInfo("UTC"))) == 2


def test_a_known_snapshot_is_updated_and_stays_proven(catalog: SqlCatalog) -> None:
    snapshot = a_snapshot()
    catalog.put_snapshots("oss", "hot", [(snapshot, False)])
    catalog.mark_proven("oss", [snapshot.original], at(9))
    retagged = msgspec.structs.replace(snapshot, id="f" * 64, files=None, size=None, added=None)
    catalog.put_snapshots("oss", "hot", [(retagged, True)])
    assert catalog.snapshots("oss", "hot") == {
        "a" * 64: KnownSnapshot(
            original="a" * 64,
            current_id="f" * 64,
            domain="exams",
            type="incremental",
            time=START,
            tree="b" * 64,
            complete=True,
            size=7000,
            files=7,
            added=700,
            proven_at=at(9),
        )
    }
    assert catalog.snapshots("oss", "cold") == {}


def test_a_snapshot_of_somebody_else_has_no_domain(catalog: SqlCatalog) -> None:
    catalog.put_snapshots("oss", "hot", [(a_snapshot(tags=None, files=None, size=None, added=None), True)])
    (known,) = catalog.snapshots("oss", "hot").values()
    assert (known.domain, known.type, known.size) == ("", "", 0)


def test_a_proof_is_of_a_tier_and_never_gets_older(catalog: SqlCatalog) -> None:
    for tier in ("hot", "cold"):
        catalog.put_snapshots("oss", tier, [(a_snapshot("a"), True)])
    catalog.mark_proven("oss", ["a" * 64, "not known"], at(5), tier="cold")
    catalog.mark_proven("oss", ["a" * 64, "not known"], at(3))
    assert catalog.snapshots("oss", "hot")["a" * 64].proven_at == at(3)
    assert catalog.snapshots("oss", "cold")["a" * 64].proven_at == at(5)
    catalog.put_snapshots("oss", "cold", [(a_snapshot("c", original="not known"), True)])
    assert catalog.snapshots("oss", "cold")["not known"].proven_at == at(5)


def test_sums_are_by_domain(catalog: SqlCatalog) -> None:
    old, new, partial = (a_snapshot(name, time=at(n), size=n, files=n) for n, name in enumerate("abc", start=1))
    catalog.put_snapshots("oss", "hot", [(new, True), (partial, False), (old, True), (a_snapshot("d", "other"), False)])
    catalog.mark_proven("oss", [old.original], at(7))
    sums = catalog.sums("oss", "hot")
    exams, other = sums["exams"], sums["other"]
    assert (exams.snapshots, exams.complete, exams.logical, exams.added) == (3, 2, 6, 2100)
    assert (exams.files, exams.size, exams.newest_at, exams.proven_at) == (2, 2, at(2), at(7))
    assert (other.snapshots, other.complete, other.size, other.newest_at, other.proven_at) == (1, 0, 0, None, None)


def test_forgotten_snapshots_are_gone_with_their_proofs(catalog: SqlCatalog) -> None:
    catalog.put_snapshots("oss", "hot", [(a_snapshot("a"), True), (a_snapshot("c"), True)])
    catalog.mark_proven("oss", ["a" * 64], at(1))
    catalog.forget_snapshots("oss", "hot", ["a" * 64, "never was"])
    assert list(catalog.snapshots("oss", "hot")) == ["c" * 64]
    catalog.put_snapshots("oss", "hot", [(a_snapshot("a"), True)])
    assert catalog.snapshots("oss", "hot")["a" * 64].proven_at is None


def test_reads_remember_the_last_time(catalog: SqlCatalog) -> None:
    catalog.record_reads("oss", "hot", range(16), at(1))
    catalog.record_reads("oss", "hot", [15, 16, 16], at(5))
    catalog.record_reads("oss", "hot", [16], at(2))
    reads = catalog.reads("oss", "hot")
    assert (len(reads), reads[0], reads[15], reads[16]) == (17, at(1), at(5), at(5))
    assert catalog.reads("oss", "cold") == {}


def test_what_a_wrong_clock_recorded_gives_way(catalog: SqlCatalog) -> None:
    """A proof, a read and a verify of the future do not count, and are overwritten by the next one."""
    catalog.put_snapshots("oss", "hot", [(a_snapshot(), True)])
    catalog.close_jobs(
        [closed(a_job("check-1", kind="verify")), closed(a_job("check-2", kind="verify", started_at=at(90)))]
    )
    catalog.mark_proven("oss", ["a" * 64], at(90))
    catalog.record_reads("oss", "hot", [1, 2], at(90))

    def told(until: datetime) -> tuple[object, ...]:
        return (
            catalog.snapshots("oss", "hot", until)["a" * 64].proven_at,
            catalog.sums("oss", "hot", until)["exams"].proven_at,
            catalog.reads("oss", "hot", until),
            [job.id for job in catalog.jobs("oss", until=until)],
        )

    assert told(at(20)) == (None, None, {}, ["check-1"])
    assert told(at(90)) == (at(90), at(90), {1: at(90), 2: at(90)}, ["check-2", "check-1"])
    catalog.mark_proven("oss", ["a" * 64], at(10), until=at(20))
    catalog.record_reads("oss", "hot", [1], at(10), at(20))
    assert told(at(20))[:3] == (at(10), at(10), {1: at(10)})
    catalog.mark_proven("oss", ["a" * 64], at(5), until=at(20))
    catalog.record_reads("oss", "hot", [1], at(5), at(20))
    assert told(at(20))[:3] == (at(10), at(10), {1: at(10)})


def test_runs_that_wrote_are_told_in_the_order_of_their_domains(catalog: SqlCatalog) -> None:
    """Complete ones that found a change; the same job twice is one."""
    for number, (domain, outcome) in enumerate(
        [("b", "ok"), ("a", "ok"), ("b", "unchanged"), ("a", "partial"), ("a", "failed"), ("a", "ok")]
    ):
        run = a_run(
            domain=domain, outcome=outcome, snapshot=f"s{number}", looked_at=at(number), files_new=1, files_changed=2,
            files_removed=3, size=4,
        )  # fmt: skip
        catalog.close_job(closed(a_job(f"job-{number}"), domains=(run,)))
    told = list(catalog.writing_runs("oss"))
    assert [(one.domain, one.snapshot) for one in told] == [("a", "s1"), ("a", "s5"), ("b", "s0")]
    assert (told[0].at, told[0].job, told[0].new, told[0].changed, told[0].removed, told[0].size) == (
        at(1), "job-1", 1, 2, 3, 4
    )  # fmt: skip
    assert list(catalog.writing_runs("local")) == []


def test_forgotten_reads(catalog: SqlCatalog) -> None:
    for target, tier in (("oss", "hot"), ("oss", "cold"), ("local", "hot")):
        catalog.record_reads(target, tier, [1], at(1))
    catalog.forget_reads("oss", "hot")
    reads = [catalog.reads(*of) for of in (("oss", "hot"), ("oss", "cold"), ("local", "hot"))]
    assert reads == [{}, {1: at(1)}, {1: at(1)}]


def test_a_complete_snapshot_stays_complete(catalog: SqlCatalog) -> None:
    """Who does not know it to be complete does not unsay it."""
    snapshot = a_snapshot()
    for complete in (False, True, False):
        catalog.put_snapshots("oss", "hot", [(snapshot, complete)])
    assert catalog.snapshots("oss", "hot")[snapshot.original].complete is True


def test_many_are_written_in_batches(catalog: SqlCatalog) -> None:
    catalog.close_jobs(closed(a_job(f"job-{n:04}"), domains=(a_run(),)) for n in range(1203))
    catalog.put_snapshots("oss", "hot", ((a_snapshot(original=f"s{n}"), True) for n in range(1203)))
    assert (len(catalog.history("oss")), len(catalog.snapshots("oss", "hot"))) == (1203, 1203)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(job_values)
def test_a_job_comes_back_as_it_was(catalog: SqlCatalog, job: Job) -> None:
    catalog.close_job(job)
    assert catalog.job(job.id) == job
    if job.kind == "backup" and job.domains:
        assert {row.domain for row in catalog.history(job.target)} >= {run.domain for run in job.domains}


def a_record(seq: int, kind: str = "verify", installation: str = "a", **changes: object) -> Evidence:
    event = Event(id=f"event_{seq}", kind=kind, at=at(seq), by="root", host="vm")  # type: ignore[arg-type]
    one = Evidence(installation=installation, target="oss", seq=seq, previous="", event=event)
    return msgspec.structs.replace(one, **changes)


def test_evidence_stays_as_it_was_first(catalog: SqlCatalog) -> None:
    """Newest first and by kind; by its very bytes, also those that a newer `rw` wrote; whatever comes later under the
    same number changes nothing."""
    strange = to_json(a_record(2)).replace(b'"previous":""', b'"previous":"","of_a_newer_rw":1')
    catalog.put_evidence([a_record(0, "genesis"), a_record(1, "drill"), strange, a_record(0, installation="b")])
    digests = dict(catalog.evidence_digests("oss"))
    assert digests["a", 1] == a_record(1, "drill").digest()
    assert digests["a", 2] == hashlib.sha256(strange).hexdigest() != a_record(2).digest()
    catalog.put_evidence([a_record(1, "gate", previous="0"), to_json(a_record(2, "gate"))])
    assert catalog.evidence_digests("oss") == digests
    found = catalog.evidence("oss")
    assert [(one.installation, one.seq) for one in found] == [("a", 2), ("a", 1), ("a", 0), ("b", 0)]
    assert [one.seq for one in catalog.evidence("oss", kind="drill")] == [1]
    assert [one.seq for one in catalog.evidence("oss", limit=1)] == [2]
    assert (catalog.evidence("local"), dict(catalog.evidence_digests("local"))) == ([], {})
    catalog.put_evidence([a_record(7)], target="local")
    assert [one.seq for one in catalog.evidence("local")] == [7]


def test_the_last_drill_of_each_object_is_known(catalog: SqlCatalog) -> None:
    """By its raw name, also where one comes twice in one go."""
    first = Drilled(domain="exams", path=b"a/\xff", at=at(1), ok=True)
    again = msgspec.structs.replace(first, at=at(2), ok=False)
    catalog.put_drilled("oss", [first, msgspec.structs.replace(first, path=b"b")])
    catalog.put_drilled("oss", [first, again])
    assert catalog.drilled("oss", "exams") == {b"a/\xff": again, b"b": msgspec.structs.replace(first, path=b"b")}
    assert (catalog.drilled("oss", "other"), catalog.drilled("local", "exams")) == ({}, {})


def a_promise(host: str, domain: str, **changes: Any) -> HostDomain:
    one = HostDomain(
        host=host, target="oss", domain=domain, layer="raw", priority="P0", rpo=300, rto=60, seen_at=START,
        repository="r",
    )  # fmt: skip
    return msgspec.structs.replace(one, **changes)


def test_a_name_is_whose_promised_it_first(catalog: SqlCatalog) -> None:
    """What a host does not promise any more is free again; a host that was renamed keeps what it had."""

    def promised() -> set[tuple[str, str]]:
        return {(one.host, one.domain) for one in catalog.host_domains("oss")}

    assert catalog.claim_domains([a_promise("web1", "exams"), a_promise("web1", "web1")]) == {}
    assert catalog.claim_domains([a_promise("web2", "exams"), a_promise("web2", "web2")]) == {"exams": "web1"}
    assert promised() == {("web1", "exams"), ("web1", "web1"), ("web2", "web2")}
    assert catalog.claim_domains([a_promise("web3", "exams", target="local")]) == {}
    assert catalog.claim_domains([a_promise("web9", "exams")], ["web1"]) == {}
    assert promised() == {("web9", "exams"), ("web2", "web2")}
    catalog.claim_domains([a_promise("web9", "other")])
    assert catalog.claim_domains([a_promise("web2", "exams", seen_at=at(5))]) == {}
    assert [one.seen_at for one in catalog.host_domains() if one.host == "web2"] == [at(5)]


def test_promises_come_with_how_they_stand(catalog: SqlCatalog) -> None:
    """The newest look, the newest complete one whose snapshot is known in hot; failures; the newest verify."""
    catalog.claim_domains([a_promise("web1", "exams"), a_promise("web1", "answers"), a_promise("web2", "photos")])
    looks = [(1, "ok", "a"), (2, "unchanged", "a"), (3, "ok", "b"), (4, "failed", None), (9, "ok", "a")]
    for minute, outcome, snapshot in looks:
        run = a_run(looked_at=at(minute), outcome=outcome, snapshot=snapshot and snapshot * 64)
        job = a_job(f"job-{minute}", started_at=at(minute))
        catalog.close_job(closed(job, "failed" if outcome == "failed" else "ok", domains=(run,)))
    catalog.put_snapshots("oss", "hot", [(a_snapshot("a"), True)])
    told = {one.promise.domain: one for one in catalog.promises(at(5))}
    assert list(told) == ["answers", "exams", "photos"]
    exams = told["exams"]
    assert (exams.looked_at, exams.complete_at, exams.job, exams.outcome) == (at(4), at(2), "job-4", "failed")
    assert (told["photos"].looked_at, told["photos"].complete_at, told["photos"].job) == (None, None, None)
    assert (catalog.failures(at(0)), catalog.failures(at(5))) == ({("web1", "oss"): 1}, {})
    catalog.close_job(closed(a_job("check-1", kind="verify"), "failed"))
    catalog.open_job(a_job("check-2", kind="verify", started_at=at(1)))
    assert catalog.newest_jobs("verify", at(5)) == {"oss": (START, "failed")}


def test_runs_and_alerts_of_other_machines_are_theirs(catalog: SqlCatalog) -> None:
    """Kept by host, renewed by id, newest first."""
    run = ScheduledRun(
        id="r1", host="web1", name="full", target="oss", kind="backup", trigger="due", due_at=START, started_at=START
    )
    catalog.put_run(run)
    catalog.put_run(msgspec.structs.replace(run, id="r2", host="web2"))
    assert ([one.id for one in catalog.open_runs("web1")], [one.id for one in catalog.runs("web2")]) == (["r1"], ["r2"])
    catalog.put_run(msgspec.structs.replace(run, outcome="ok"))
    assert (catalog.open_runs("web1"), catalog.runs("web1", name="full", since=START)[0].outcome) == ([], "ok")
    event = AlertEvent(
        id="e1", host="web1", target="oss", rule="r", subject="", change="fired", at=START, severity="info", message="m"
    )
    catalog.put_alert_events([event, msgspec.structs.replace(event, id="e2", host="web2", at=at(1))])
    catalog.put_alert_events([event])
    assert [one.id for one in catalog.alert_events("oss")] == ["e2", "e1"]
    assert [one.id for one in catalog.alert_events("oss", since=at(1))] == ["e2"]
