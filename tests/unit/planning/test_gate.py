"""What the gate says of facts: each single thing that is missing closes it, and better facts never do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resticwrap.model.aging import SnapshotPin
from resticwrap.model.assurance import GateRules, Gates
from resticwrap.model.dbproof import Loaded
from resticwrap.model.drill import CanaryResult, DrillDetails, DrilledDomain, Level
from resticwrap.model.gate import BucketLook, GateReport, Override
from resticwrap.model.job import Job
from resticwrap.model.reports import Coverage, Damage
from resticwrap.model.verified import VerifyDetails
from resticwrap.planning.gate import Facts, SnapshotFacts, decide

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GATES = Gates()
HOUR = timedelta(hours=1)
COVERED = Coverage(days=14, bytes_read=1, bytes_total=1, packs_read=1, packs_total=1)
PACK = "ab" * 32


def job(kind: Any, ago: timedelta, details: Any, outcome: Any = "ok") -> Job:
    return Job(
        id=f"{kind}_{(NOW - ago).isoformat()}", kind=kind, target="main", outcome=outcome, started_at=NOW - ago,
        host="lab", pid=1, finished_at=NOW - ago, details=details.builtins(),
    )  # fmt: skip


def verify(ago: timedelta, *damages: Damage, outcome: Any = None, **more: Any) -> Job:
    """One of all packs; well unless there is damage."""
    more = {"reads": tuple(range(256)), "proven": ("s",), **more}
    more = {"bucket": 1, "coverage": COVERED, **more}
    details = VerifyDetails(tier="hot", repository="h", damages=damages, **more)
    return job("verify", ago, details, outcome or ("failed" if damages else "ok"))


def drill(
    ago: timedelta,
    level: Level = "l1",
    *,
    outcome: Any = None,
    domain: str = "exams",
    of: Mapping[str, Any] = {},
    **more: Any,
) -> Job:
    """`of` is the drill's own, `more` its domain's."""
    one = DrilledDomain(
        domain=domain, priority="P0", snapshot="s", tree="t", job="j", source_time=NOW - ago, objects=1, size=1,
        **{"failed": 0, "actual_rpo": 10, "actual_rto": 10, "rpo": 300, "rto": 1800, **more},
    )  # fmt: skip
    plain = DrillDetails(level=level, repository="h", domains=(one,), objective=600, seconds=20)
    details = msgspec.structs.replace(plain, **of)
    return job("drill", ago, details, outcome or ("ok" if details.ok else "failed"))


def damage(kind: Any = "pack_damaged", name: str = PACK) -> Damage:
    return Damage(kind=kind, name=name)


def pin(kind: Any = "incident", **more: Any) -> SnapshotPin:
    return SnapshotPin(
        id="pin_1", target="main", snapshots=("s",), reason="why", by="me", created_at=NOW, kind=kind, **more
    )


WELL = Facts(
    target="main",
    rpo={"exams": 300.0, "profiles": 300.0},
    looks={"exams": NOW - HOUR, "profiles": NOW - HOUR},
    verifies=(verify(2 * HOUR),),
    drills=(drill(3 * HOUR), drill(4 * HOUR, "l3")),
    repositories={"hot": "h", "cold": "c"},
    has_bucket=True,
    bucket=BucketLook(at=NOW - HOUR),
    newest_record=NOW,
    kit="",
)


def keys(report: GateReport) -> list[str]:
    return [reason.key for reason in report.reasons]


def kinds(report: GateReport) -> set[str]:
    return {reason.kind for reason in report.reasons}


def test_all_is_well() -> None:
    """Open, and it says of everything that it was looked at."""
    report = decide(WELL, GATES, NOW)
    assert report.open and not report.reasons
    assert [check.verdict for check in report.checked] == ["ok"] * 10
    assert (report.proof_age, report.backup_age) == (7200, 3600)


MISSING: dict[str, tuple[str, Facts]] = {
    "no proof": ("proof", replace(WELL, verifies=(), drills=())),
    "an old proof": ("proof", replace(WELL, verifies=(verify(timedelta(days=7, seconds=1)),), drills=())),
    "a proof that proved nothing": ("proof", replace(WELL, verifies=(verify(HOUR, proven=()),), drills=())),
    "a proof of another repository": ("proof", replace(WELL, repositories={"hot": "x"})),
    "a proof of the future": ("proof", replace(WELL, verifies=(verify(-HOUR),), drills=())),
    "no backup": ("backup", replace(WELL, looks={"exams": NOW})),
    "an old backup": ("backup", replace(WELL, looks={**WELL.looks, "exams": NOW - timedelta(hours=24, seconds=1)})),
    "a backup of the future": ("backup", replace(WELL, looks={**WELL.looks, "exams": NOW + HOUR})),
    "a failed drill": ("drill", replace(WELL, drills=(drill(HOUR, failed=1), *WELL.drills))),
    "a drill that could not begin": (
        "drill",
        replace(WELL, drills=(job("drill", HOUR, DrillDetails(level="l3"), "failed"), *WELL.drills)),
    ),
    "a domain whose newest drill failed": (
        "drill",
        replace(WELL, drills=(drill(HOUR, domain="profiles"), drill(2 * HOUR, failed=1))),
    ),
    "a failed drill of cold, and a good one of hot": (
        "drill",
        replace(WELL, drills=(*WELL.drills, drill(5 * HOUR, failed=1, of={"tier": "cold", "repository": "c"}))),
    ),
    "a canary that was not caught, and a drill without one": (
        "drill",
        replace(WELL, drills=(*WELL.drills, drill(5 * HOUR, of={"canary": CanaryResult(sound=True)}))),
    ),
    "trees that were lost, and a drill of another domain": (
        "drill",
        replace(WELL, drills=(*WELL.drills, drill(5 * HOUR, of={"failures": ("profiles: its trees are lost.",)}))),
    ),
    "a missed RTO": ("objective", replace(WELL, drills=(drill(HOUR, "l3", actual_rto=1801),))),
    "a missed RPO": ("objective", replace(WELL, drills=(drill(HOUR, actual_rpo=301),))),
    "damage": ("damage", replace(WELL, verifies=(verify(HOUR, damage()), verify(2 * HOUR)))),
    "damage and a good verify of another part": (
        "damage",
        replace(WELL, verifies=(verify(HOUR, reads=(1, 2)), verify(2 * HOUR, damage(), reads=()))),
    ),
    "damage in a part that was frozen": (
        "damage",
        replace(WELL, verifies=(verify(HOUR, frozen=1), verify(2 * HOUR, damage()))),
    ),
    "more damage than is named": (
        "damage",
        replace(
            WELL,
            verifies=(
                verify(HOUR, reads=(1,)),
                verify(2 * HOUR, *(damage("pack_missing", f"{n:064x}") for n in range(50))),
            ),
        ),
    ),
    "a sample that did not compare": (
        "damage",
        replace(WELL, verifies=(verify(HOUR, outcome="failed"), verify(2 * HOUR))),
    ),
    "unsafe rules": ("bucket", replace(WELL, bucket=BucketLook(at=NOW, unsafe=("rule x deletes",)))),
    "a broken chain": ("evidence", replace(WELL, chain_fault="It does not hold.")),
    "evidence that waits": ("evidence", replace(WELL, waiting_since=NOW - timedelta(hours=25))),
    "a record of the future": ("clock", replace(WELL, newest_record=NOW + HOUR)),
    "a clock unlike the store's": ("clock", replace(WELL, store_time=NOW - HOUR)),
    "a partial snapshot": ("snapshot", replace(WELL, snapshot=SnapshotFacts(job="j", missing=("exams",)))),
    "an unreadable snapshot": ("snapshot", replace(WELL, snapshot=SnapshotFacts(job="j", unproven=("exams",)))),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_closes_it(name: str) -> None:
    """With its own reason and no other, unless the policy says otherwise."""
    kind, facts = MISSING[name]
    report = decide(facts, GATES, NOW)
    assert not report.open and kinds(report) == {kind}
    assert all(reason.hint and reason.sentence.endswith((".", ":")) for reason in report.reasons)
    if kind == "snapshot":
        return
    for weight in ("warn", "off"):
        rules = GateRules.model_validate({kind: weight})
        mild = decide(facts, Gates(rules=rules), NOW)
        assert mild.open and kinds(mild) == ({kind} if weight == "warn" else set())


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("bucket", replace(WELL, bucket=None)),
        ("bucket", replace(WELL, bucket=BucketLook(at=NOW, known=False, why="no permission"))),
        ("bucket", replace(WELL, bucket=BucketLook(at=NOW + HOUR, unsafe=("x",)))),
        ("raw", replace(WELL, pins=(pin(),))),
        ("kit", replace(WELL, kit="It is older than the keys.")),
    ],
)
def test_what_warns(kind: str, facts: Facts) -> None:
    """Said, and nothing is closed."""
    report = decide(facts, GATES, NOW)
    assert report.open and kinds(report) == {kind}


def test_what_says_nothing() -> None:
    """A released pin, one of another kind, a folder without rules, an event that waits; a drill that was interrupted,
    one of a repository that is gone, one that went wrong before others that clear it."""
    facts = replace(
        WELL,
        pins=(pin(released_at=NOW), pin("upgrade")),
        has_bucket=False,
        bucket=None,
        kit=None,
        drills=(
            drill(HOUR, failed=1, outcome="interrupted"),
            drill(HOUR, "l2", failed=1, actual_rpo=301, of={"repository": "before"}),
            drill(HOUR, of={"canary": CanaryResult(sound=True, caught=True)}),
            *WELL.drills,
            drill(5 * HOUR, of={"canary": CanaryResult(sound=True)}),
        ),
        waiting_since=NOW - timedelta(hours=23),
    )
    assert decide(facts, GATES, NOW).reasons == ()


@pytest.mark.parametrize(
    ("later", "opened"),
    [
        ((verify(HOUR, damage()),), True),
        ((verify(HOUR),), False),
        ((verify(HOUR, reads=(0xAB,)),), False),
        ((verify(HOUR, reads=(0xAC,)),), True),
        ((verify(HOUR, bucket=0, coverage=None, outcome="failed"),), True),
    ],
)
def test_damage_is_cleared_by_what_reads_it_again(later: Sequence[Job], opened: bool) -> None:
    """A verify that could not begin clears nothing."""
    facts = replace(WELL, verifies=(*later, verify(2 * HOUR, damage())))
    assert ("damage" in kinds(decide(facts, GATES, NOW))) is opened


def test_an_override_is_of_the_very_reasons() -> None:
    """Others of their kinds close it all the same; so does time, and one that was written in the future."""
    broken = replace(WELL, looks={"exams": NOW - HOUR}, verifies=(verify(HOUR, damage()),))
    before = decide(broken, GATES, NOW)
    one = Override(id="e", at=NOW, until=NOW + HOUR, by="me", reason="why", keys=tuple(keys(before)))
    held = replace(broken, overrides=(one,))
    report = decide(held, GATES, NOW)
    assert report.open and {reason.overridden for reason in report.reasons} == {"e"}
    assert not decide(held, GATES, NOW + HOUR).open
    assert not decide(replace(held, looks={}), GATES, NOW).open
    more = replace(held, verifies=(verify(HOUR, damage(), damage("pack_missing", "cd" * 32)),))
    assert keys(decide(more, GATES, NOW)) != keys(before) and not decide(more, GATES, NOW).open
    future = replace(
        broken, overrides=(Override(id="e", at=NOW + HOUR, until=NOW + 2 * HOUR, by="", reason="", keys=one.keys),)
    )
    assert not decide(future, GATES, NOW).open
    assert not decide(replace(held, snapshot=SnapshotFacts(job="j", missing=("exams",))), GATES, NOW).open


AGO = st.integers(-48 * 3600, 30 * 24 * 3600).map(lambda seconds: timedelta(seconds=seconds))
VERIFIES = st.lists(
    st.one_of(
        AGO.map(verify), AGO.map(lambda ago: verify(ago, damage())), st.builds(lambda ago: verify(ago, reads=(1,)), AGO)
    ),
    max_size=4,
)
DRILLS = st.lists(
    st.builds(
        lambda ago, level, failed, rpo: drill(ago, level, failed=failed, actual_rpo=rpo),
        AGO, st.sampled_from(["l1", "l2", "l3"]), st.integers(0, 1), st.sampled_from([1, 400]),
    ),
    max_size=4,
)  # fmt: skip
FACTS = st.builds(
    lambda verifies, drills, looks, bucket, kit: replace(
        WELL, verifies=verifies, drills=drills, kit=kit, bucket=bucket,
        looks={name: NOW - ago for name, ago in looks.items()},
    ),
    VERIFIES,
    DRILLS,
    st.dictionaries(st.sampled_from(["exams", "profiles"]), AGO),
    st.sampled_from([None, BucketLook(at=NOW), BucketLook(at=NOW, unsafe=("x",))]),
    st.sampled_from([None, "", "old"]),
)  # fmt: skip


@settings(max_examples=60)
@given(FACTS, st.sampled_from(["verify", "drill", "look", "bucket", "kit"]))
def test_better_facts_never_close_it(facts: Facts, what: str) -> None:
    """Nor do they bring a reason that was not there."""
    now = timedelta()
    better = {
        "verify": replace(facts, verifies=(verify(now), *facts.verifies)),
        "drill": replace(facts, drills=(drill(now), *facts.drills)),
        "look": replace(facts, looks=dict.fromkeys(facts.rpo, NOW)),
        "bucket": replace(facts, bucket=BucketLook(at=NOW)),
        "kit": replace(facts, kit=""),
    }[what]
    before, after = decide(facts, GATES, NOW), decide(better, GATES, NOW)
    assert after.open >= before.open
    assert set(keys(after)) <= set(keys(before))


@settings(max_examples=60)
@given(FACTS)
def test_the_future_never_counts(facts: Facts) -> None:
    """What is dated later than a clock may be wrong is as if it were not there."""
    late = NOW + timedelta(minutes=10)
    today = replace(
        facts,
        verifies=[one for one in facts.verifies if one.started_at <= late],
        drills=[one for one in facts.drills if one.started_at <= late],
        looks={name: at for name, at in facts.looks.items() if at <= late},
    )
    assert keys(decide(facts, GATES, NOW)) == keys(decide(today, GATES, NOW))


def test_a_database_that_was_never_loaded() -> None:
    """Is told of, and closes nothing: that its dump came back says nothing of whether it can be loaded. A sample is not
    enough, nor what went wrong."""
    good, bad = Loaded(databases=1, load=1.0), Loaded(failures=("its dump is not whole",))
    facts = replace(WELL, databases=("exams",))
    tries = [
        drill(HOUR, "l2", whole=True, loaded=good),
        drill(HOUR, "l2", whole=True, loaded=bad, failed=1),
        drill(HOUR, "l1", loaded=good),
    ]
    for one, told in zip(tries, ([], ["proof load exams"], ["proof load exams"]), strict=True):
        report = decide(replace(facts, drills=(one,)), GATES, NOW)
        assert [reason.key for reason in report.reasons if reason.kind == "proof"] == told
        assert all(reason.weight == "warn" for reason in report.reasons if reason.kind == "proof")
