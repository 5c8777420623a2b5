"""`rw forget` on real repositories: a record first, the very plan, and nothing else is gone."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resticwrap import errors
from resticwrap.clock import FixedClock
from resticwrap.model.reports import ForgetReport
from resticwrap.services import forget, pins, tiering
from resticwrap.services.context import Context
from tests.broken import faulty_restic
from tests.conftest import MakeLab
from tests.lab import RAW, Lab

BOTH: tuple[Any, ...] = ("hot", "cold")
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def one(lab: Lab) -> Lab:
    return only_exams(lab)


def only_exams(lab: Lab) -> Lab:
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    return lab


def past(lab: Lab, *days_ago: float) -> list[str]:
    """Complete snapshots of so many days before noon, oldest first; their ids."""
    tags = ["domain=exams", "layer=raw", "priority=P0", "type=incremental", "tier=hot", "expire-after-days=30"]
    command = lab.bare_command("backup", "--host", "lab")
    for ago in days_ago:
        lab.write("exams/a", str(ago))
        time = NOON - timedelta(days=ago)
        named = [*tags, f"job=snapshot_{time:%Y%m%dT%H%M%SZ}_aaaaaa"]
        when = f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
        lab.run(*command, "--time", when, *(f"--tag={tag}" for tag in named), str(lab.data / "exams"))
    with lab.house() as built:
        found = built.context.hot.snapshots()
        built.catalog.put_snapshots("main", "hot", [(one, True) for one in found if one.tags])
        return [one.original for one in found if one.tags]


def ids(context: Context, tier: str) -> list[str]:
    return [one.original for one in context.repositories[tier].snapshots()]


def gone(report: ForgetReport) -> list[tuple[str, str]]:
    assert report.plan is not None
    return [(one.tier, one.original) for one in report.plan.verdicts if not one.keep]


def test_a_life_from_hot_to_cold(one: Lab) -> None:
    """Nothing leaves hot before it is proven in cold; what the plan says is what a run does; and again does nothing."""
    early, late, fifty, forty, newest = past(one, 60.1, 60, 50, 40, 1)
    with one.house() as built:
        context = built.context
        # The earlier of its day is promised by nobody; forty days ago covers the first of hot's thirty.
        assert gone(forget.preview(context, BOTH)) == [("hot", early)]
        tiering.run(context, tiering.plan(context))
        report = forget.preview(context, BOTH)
        assert gone(report) == [("hot", early), ("hot", late), ("hot", fifty)]
        done = forget.forget(context, BOTH)
        assert gone(done) == gone(report) and ids(context, "hot") == [forty, newest]
        assert ids(context, "cold") == [late, fifty, forty, newest]
        assert sorted(context.catalog().snapshots("main", "hot")) == sorted([forty, newest])
        (record,) = built.catalog.jobs("main", kind="forget")
        assert record.outcome == "ok" and record.details["removed"] == {"hot": 3}
        told = [name for names in record.details["reasons"].values() for name in names]
        assert sorted(told) == sorted([early, late, fifty])
        assert gone(forget.forget(context, BOTH)) == []
    assert "3 removed from the hot and cold repositories" in one.rw("history").out
    out = one.rw("forget").out
    assert "STAYS" in out and "0 snapshots removed" in out and newest in out


def test_cold_ends_too_and_the_last_stays(one: Lab) -> None:
    first, second, third = past(one, 300, 250, 200)
    with one.house(FixedClock(NOON - timedelta(days=150))) as built:
        tiering.run(built.context, tiering.plan(built.context))
    with one.house() as built:
        context = built.context
        assert ids(context, "cold") == [first, second, third]
        # Nothing was done for five months, so the clock has to be vouched for once.
        done = forget.forget(context, ("cold",), clock_is_right=True)
        assert gone(done) == [("cold", first), ("cold", second)]
        assert gone(forget.forget(context, BOTH)) == [("hot", first), ("hot", second)]
        assert ids(context, "hot") == [third] == ids(context, "cold")


def test_hot_does_not_rely_on_a_damaged_cold(one: Lab) -> None:
    """A pack of cold is gone, or cut: what was proven there stays in hot."""
    sixty, _, _ = past(one, 60, 40, 1)
    with one.house() as built:
        tiering.run(built.context, tiering.plan(built.context))
        assert gone(forget.preview(built.context, BOTH)) == [("hot", sixty)]
        pack = next(path for path in (one.store / one.namespace / "cold" / "data").rglob("*") if path.is_file())
        content = pack.read_bytes()
        pack.chmod(0o600)
        pack.write_bytes(content[:-1])
        report = forget.preview(built.context, BOTH)
        assert report.plan and gone(report) == [] and "another size" in report.plan.warnings[0]
        pack.unlink()
        report = forget.forget(built.context, BOTH)
        assert report.plan and report.removed == () and "1 packs are missing" in report.plan.warnings[0]
        assert sixty in ids(built.context, "hot")


def test_pinned_ones_and_what_was_pinned_meanwhile_stay(one: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third, last = past(one, 60.2, 60.1, 60, 1)
    with one.house() as built:
        context = built.context
        pins.pin(context, [first], "audit")
        assert gone(forget.preview(context, BOTH)) == [("hot", second)]
        real = forget._Forget._still_right

        def race(self: Any, tier: str) -> Any:
            if tier == "hot":  # the plan is made: now somebody pins
                pins.pin(context, [second], "incident", kind="incident")
            return real(self, tier)

        monkeypatch.setattr(forget._Forget, "_still_right", race)
        report = forget.forget(context, BOTH)
        assert gone(report) == [("hot", second)] and report.removed == ()
        assert report.left[0][2] == "pinned meanwhile" and forget.exit_code(report) == errors.PARTIAL
        monkeypatch.undo()
        for pin in pins.pins(context):
            pins.unpin(context, pin.id)
        assert len(forget.forget(context, BOTH).removed) == 2
        assert ids(context, "hot") == [third, last]


def test_another_machine_was_at_work_meanwhile(one: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is gone already is no error; where one that the plan keeps is gone, nothing of the domain goes."""
    first, second, third, last = past(one, 60.2, 60.1, 60, 1)
    real = forget._Forget._still_right

    def meanwhile(name: str) -> None:
        def race(self: Any, tier: str) -> Any:
            if tier == "hot":
                one.bare("forget", name)
            return real(self, tier)

        monkeypatch.setattr(forget._Forget, "_still_right", race)

    with one.house() as built:
        context = built.context
        meanwhile(third)
        report = forget.forget(context, BOTH)
        assert report.removed == () and "went meanwhile" in report.left[0][2] and len(report.left) == 2
        assert ids(context, "hot") == [first, second, last]
        meanwhile(first)
        report = forget.forget(context, BOTH)
        assert (report.removed, report.left, ids(context, "hot")) == ((), (), [second, last])


def test_a_clock_that_cannot_be_right(one: Lab) -> None:
    past(one, 60.1, 60, 1)
    one.rw("backup")
    with one.house(FixedClock(NOON - timedelta(days=2))) as built:
        with pytest.raises(errors.ClockWrong, match="behind the newest record") as told:
            forget.forget(built.context, BOTH)
        assert "--clock-is-right" in told.value.hint
        with pytest.raises(errors.ClockWrong):
            forget.preview(built.context, BOTH)
        assert len(ids(built.context, "hot")) == 4
        assert built.catalog.jobs("main", kind="forget") == []  # its record would lie in the past, or in the future
        assert len(forget.forget(built.context, BOTH, clock_is_right=True).removed) == 1


def test_the_clock_of_the_store_and_an_s3_as_a_whole(make_lab: MakeLab) -> None:
    """A store that tells the time is believed against this machine, whatever somebody says."""
    lab = only_exams(make_lab("s3"))
    first = past(lab, 60.1, 60, 1)[0]
    with lab.house(FixedClock(NOON + timedelta(days=40))) as built:
        with pytest.raises(errors.ClockWrong, match="ahead of that of the store"):
            forget.forget(built.context, BOTH, clock_is_right=True)
        assert len(ids(built.context, "hot")) == 3
    assert [verdict["original"] for verdict in lab.json("forget")["removed"]] == [first]


def test_a_mass_change_suspends_until_somebody_looked(one: Lab) -> None:
    past(one, 60.1, 60)
    for text in ("plain", "encrypted"):
        for number in range(30):
            one.write(f"exams/{number}", f"{number} {text}")
        one.rw("backup")
    report = one.json("forget")
    assert "30 of 31 files changed or went" in report["plan"]["suspended"]["exams"]
    assert report["removed"] == [] and len(report["plan"]["verdicts"]) == 4
    assert "rw forget --looked exams" in one.rw("forget", "--dry-run").out
    one.rw("forget", "--looked", "nobody", code=2)
    assert one.json("forget", "--looked", "exams")["looked"] == ["exams"]
    report = one.json("forget")
    assert report["plan"]["suspended"] == {} and len(report["removed"]) == 1
    assert "looked at exams" in one.rw("history").out


def test_no_record_no_forget(one: Lab) -> None:
    past(one, 60.1, 60, 1)
    one.rw("backup")
    for name in ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"):
        (one.state / name).unlink(missing_ok=True)
    with one.house() as built:
        with pytest.raises(errors.CatalogUnavailable, match="not there"):
            forget.forget(built.context, BOTH)
        with pytest.raises(errors.CatalogUnavailable, match="not there"):
            forget.preview(built.context, BOTH)
        assert len(ids(built.context, "hot")) == 4 and not built.catalog.present


def test_what_is_not_known_to_be_complete_stays(one: Lab) -> None:
    """A catalogue without the records: everything is kept, and the way out is named."""
    past(one, 60.1, 60, 1)
    with one.house() as built:
        context = built.context
        context.catalog().forget_snapshots("main", "hot", ids(context, "hot"))
        report = forget.forget(context, BOTH)
        assert report.plan and report.removed == ()
        assert all("rw catalog rebuild" in one.reasons[0] for one in report.plan.verdicts)


def test_credentials_that_may_not_delete(one: Lab) -> None:
    """Told in a sentence; nothing is gone, and the catalogue says so too."""
    past(one, 60.1, 60, 1)
    one.env |= faulty_restic(one, "exit 3", on="forget")
    with one.house() as built:
        with pytest.raises(errors.TargetRefused, match="does not let these credentials") as told:
            forget.forget(built.context, BOTH)
        assert "maintainer" in told.value.hint
        assert len(ids(built.context, "hot")) == 3 == len(built.catalog.snapshots("main", "hot"))
        assert built.catalog.jobs("main", kind="forget")[0].outcome == "failed"


def test_a_journal_that_cannot_be_read_may_name_any_snapshot(one: Lab) -> None:
    """It says what was live before an in-place restore: nothing goes until somebody has looked at it."""
    past(one, 60.1, 60, 1)
    journals = one.state / "journals"
    journals.mkdir(exist_ok=True)
    (journals / "restore_20260101T000000Z_aaaaaa.json").write_text("{")
    assert one.rw("forget", code=None).code != 0
    with one.house() as built:
        assert len(ids(built.context, "hot")) == 3


def test_strangers_are_left_alone(one: Lab) -> None:
    first = past(one, 60.1, 60, 1)[0]
    one.bare("backup", "--host", "lab", "--time", "2001-01-01 00:00:00", str(one.data / "exams"))
    with one.house() as built:
        report = forget.forget(built.context, BOTH)
        assert report.plan and report.plan.strangers == 1
        assert [verdict.original for verdict in report.removed] == [first]
        assert len(ids(built.context, "hot")) == 3


def test_a_quota_is_kept_as_far_as_no_day_is_lost(one: Lab) -> None:
    one.target["quota"] = {"max_snapshots": 1}
    one.write_policies()
    first, second, third, last = past(one, 9.2, 9.1, 9, 1)
    with one.house() as built:
        report = forget.forget(built.context, BOTH)
        assert [verdict.original for verdict in report.removed] == [first, second]
        assert "over quota" in report.removed[0].reasons[0]
        assert report.plan and "stays over its quota" in report.plan.warnings[0]
        assert forget.forget(built.context, BOTH).removed == ()
        assert ids(built.context, "hot") == [third, last]


def test_a_quota_of_bytes_counts_what_is_really_there(one: Lab) -> None:
    """The snapshots share nearly all: what each stored says nothing of what its removal frees. In one run all that may
    go has gone, and the warning is of what stays."""
    one.target["quota"] = {"max_bytes": "200KB"}
    one.write_policies()
    one.write("exams/large.bin", secrets.token_bytes(300_000))
    first, second, third, fourth, last = past(one, 9.2, 9.15, 9.1, 9, 1)
    with one.house() as built:
        report = forget.forget(built.context, BOTH)
        assert [verdict.original for verdict in report.removed] == [first, second, third]
        assert report.plan and any("stays over its quota" in warning for warning in report.plan.warnings)
        assert any("rw prune" in warning for warning in report.plan.warnings)
    one.target["quota"] = {"max_bytes": "10MB"}
    one.write_policies()
    with one.house() as built:
        assert forget.forget(built.context, BOTH).plan.warnings == ()  # type: ignore[union-attr]
        assert ids(built.context, "hot") == [fourth, last]


def test_the_last_n_alone(one: Lab) -> None:
    """`keep_last` without a maximum: older ones go as far as no day is lost."""
    one.target["quota"] = {"keep_last": 3}
    one.domains["exams"]["quota"] = {"keep_last": 3}
    one.write_policies()
    found = past(one, 9.3, 9.2, 9.1, 9, 1)
    with one.house() as built:
        report = forget.forget(built.context, BOTH)
        assert [verdict.original for verdict in report.removed] == found[:2]
        assert "older than the last 3" in report.removed[0].reasons[0]


def test_what_is_gone_is_in_the_record_of_a_forget_that_failed(one: Lab) -> None:
    """restic removes what it was told to, and then ends with a fault of its own."""
    first = past(one, 60.1, 60, 1)[0]
    one.env |= faulty_restic(one, 'restic "$@"; exit 1', on="forget")
    with one.house() as built:
        with pytest.raises(errors.ResticFailed):
            forget.forget(built.context, BOTH)
        (job,) = built.catalog.jobs("main", kind="forget")
        assert job.outcome == "failed" and job.error and [first] in job.details["reasons"].values()
        assert first not in built.catalog.snapshots("main", "hot") and len(ids(built.context, "hot")) == 2
