"""`rw gate`, `rw pre-upgrade`, `rw upgrade` with real repositories: what runs, what stays, and what is said."""

import dataclasses
import signal
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from resticwrap import errors
from resticwrap.bootstrap import House
from resticwrap.clock import FixedClock, SystemClock
from resticwrap.model.job import Job
from resticwrap.model.policy import roots_of
from resticwrap.model.upgrade import UpgradeReport
from resticwrap.services import gate, prune, restoreplace, upgrade
from resticwrap.services.backup import backup, plan
from resticwrap.services.verify import verify
from tests.lab import Lab, answer


@pytest.fixture
def proven(lab: Lab) -> Lab:
    """Two domains, backed up and verified: the gate is open."""
    lab.write("exams/a.json", "old")
    lab.write("profiles/b.json", "old")
    (lab.folder / "policies" / "gates.yaml").write_text("gates: {rules: {kit: 'off'}}\n")
    with lab.house() as built:
        context = built.context
        backup(context, plan(context, "full", context.settings.domains))
        assert verify(context, "hot", built.settings.schedule.verify.model_copy(update={"share": "1"}), ()).ok
    return lab


def run(built: House, *words: str, drill: upgrade.Drill = upgrade.sampled, **more: Any) -> UpgradeReport:
    return upgrade.upgrade(built.context, words, built.commands(to_stderr=True), drill, **more)


def shell(lab: Lab, code: int, text: str = "new") -> Sequence[str]:
    """A release that writes one file and ends so."""
    return "sh", "-c", f"echo {text} > {lab.data}/exams/a.json; exit {code}"


def failing(context: Any, written: Job) -> upgrade.Rehearsed:
    return upgrade.Rehearsed(job="drill_x", ok=False, why="it does not come back")


def held(built: House) -> list[str]:
    now = built.clock.now()
    # Without those of raw data that changed, which a release, or going back on it, may well bring about.
    return [pin.id for pin in built.catalog.pins("main") if pin.kind == "upgrade" and pin.holds(now)]


def test_an_upgrade_that_goes_well(proven: Lab) -> None:
    """The command ran, the snapshot of before was pinned meanwhile and is not any more; all of it is evidence."""
    with proven.house() as built:
        report = run(built, *shell(proven, 0))
        assert (report.verdict, report.upgrade.exit_code, report.upgrade.released) == ("ok", 0, True)
        assert upgrade.exit_code(report) == 0 and held(built) == [] and report.notes == ()
        assert (proven.data / "exams/a.json").read_text() == "new\n"
        job = built.catalog.job(report.job.id)
        assert job is not None and job.outcome == "ok" and job.details["step"] == "done"
        steps = [one.event.body["step"] for one in built.catalog.evidence("main", kind="upgrade")]
        assert steps == ["ended", "begun"]
        assert "a.json" not in str([one.event.body for one in built.catalog.evidence("main")])


def test_a_command_that_fails(proven: Lab) -> None:
    """The pin stays, it says how to go back, that very command goes back, and then the pin is released."""
    with proven.house() as built:
        report = run(built, *shell(proven, 7))
        assert (report.verdict, report.upgrade.exit_code, upgrade.exit_code(report)) == ("command_failed", 7, 1)
        assert held(built) == [report.upgrade.pin]
        assert (proven.data / "exams/a.json").read_text() == "new\n"
        (left,) = upgrade.status(built.context).left
        assert left.next == report.next and not left.running
    back, release = report.next
    proven.rw(*back.partition("   ")[0].split()[1:])
    assert (proven.data / "exams/a.json").read_text() == "old"
    proven.rw(*release.split()[1:])
    with proven.house() as built:
        assert upgrade.status(built.context).left == ()
        with pytest.raises(errors.NotFound):
            upgrade.release(built.context, report.job.id)


def test_rolled_back(proven: Lab) -> None:
    """Where the drill fails (and the command): live data is as it was before, undoably, and the pin stays."""
    with proven.house() as built:
        report = run(built, *shell(proven, 0), drill=failing, rollback=True, force=bool(answer()))
        assert (report.verdict, upgrade.exit_code(report)) == ("drill_failed", 20)
        assert report.upgrade.rolled_back and held(built) == [report.upgrade.pin]
        assert (proven.data / "exams/a.json").read_text() == "old"
        kept = built.journals.read(report.upgrade.rollback)
        assert kept is not None and kept.phase == "kept"


def test_rolled_back_but_for_one(proven: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback that leaves a domain out, because rw itself lives on it, does not say that everything is back."""
    with proven.house() as built:
        first, *_ = built.context.settings.domains.values()
        monkeypatch.setattr(restoreplace, "own_places", lambda _: [roots_of({"first": first})["first"] / "state"])
        report = run(built, *shell(proven, 0), drill=failing, rollback=True, force=bool(answer()))
        left = next(iter(built.context.settings.domains))
    assert not report.upgrade.rolled_back and report.upgrade.rollback
    assert any(f"Not rolled back: {left}." in note for note in report.notes)
    assert any("--in-place" in one for one in report.next)


def test_a_closed_gate(proven: Lab) -> None:
    """The command is not run, nothing stays pinned. An override lets it run, and is evidence; a domain that is not seen
    whole cannot be overridden."""
    late = FixedClock(SystemClock().now() + timedelta(days=8))
    with proven.house(clock=late) as built:
        report = run(built, *shell(proven, 0))
        assert (report.verdict, upgrade.exit_code(report), held(built)) == ("gate_closed", 21, [])
        assert (proven.data / "exams/a.json").read_text() == "old"
        assert [reason.key for reason in report.gate.reasons if reason.closes] == ["proof"]  # type: ignore[union-attr]
        with pytest.raises(errors.UsageError):
            gate.override(built.records, " ", timedelta(hours=1))
        assert gate.override(built.records, "agreed", timedelta(hours=1)).open
        report = run(built, *shell(proven, 0, "newer"))
        assert report.verdict == "ok" and report.upgrade.overridden == ("proof",)
        (proven.data / "profiles").rename(proven.data / "away")
        report = run(built, *shell(proven, 0, "newest"))
        assert (report.verdict, held(built)) == ("gate_closed", [])
        assert (proven.data / "exams/a.json").read_text() == "newer\n"
        late.sleep(8 * 86400)  # the override is over, and so is what the drill of the upgrade proved
        assert not gate.ask(built.records).open
        (event,) = built.catalog.evidence("main", kind="override")
        assert event.event.body["reason"] == "agreed" and event.event.body["overrides"] == ["proof"]


class Killed(BaseException):
    """As if the process had ended there."""


class Dying:
    """State files of a process that is killed as it writes for the nth time that an upgrade goes on."""

    def __init__(self, state: Any, after: int) -> None:
        self.state, self.left = state, after

    def spool(self, job: Job, **more: Any) -> None:
        if job.kind == "upgrade":
            self.left -= 1
            if self.left == 0:
                raise Killed
        self.state.spool(job, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.state, name)


def deaths(lab: Lab) -> Iterator[tuple[int, str]]:
    """Upgrades of a failing drill with a rollback, killed at each of their steps; what was live then."""
    for after in range(1, 20):
        lab.write("exams/a.json", "old")
        with lab.house() as built:
            context = built.context
            state: Any = Dying(context.state, after)
            context = dataclasses.replace(context, state=state)
            try:
                upgrade.upgrade(
                    context, shell(lab, 0), built.commands(to_stderr=True), failing, rollback=True,
                    force=bool(answer()),
                )  # fmt: skip
            except Killed:
                yield after, (lab.data / "exams/a.json").read_text()
            else:
                return


def test_killed_between_any_two_steps(proven: Lab) -> None:
    """Whenever the command may have run the snapshot of before is pinned and named, and the record is closed by the
    next start; live data is old or new, and whole."""
    seen = []
    for after, live in deaths(proven):
        with proven.house() as built:
            left = upgrade.status(built.context).left
            assert all(not one.running for one in left), after
            assert built.state.spooled() == [] or all(job.outcome != "running" for job in built.state.spooled())
            seen.append((live.strip(), len(left)))
            if live != "old":
                assert left and any("--in-place" in command for command in left[0].next), after
            for one in left:
                assert one.said and one.next, after
                upgrade.release(built.context, one.pin.id)
    assert len(seen) >= 6 and ("new", 1) in seen and seen[-1] == ("old", 1), seen


def test_an_interrupt_reaches_the_command(proven: Lab) -> None:
    """Once, and it is waited for; the pin stays."""
    folder = proven.folder
    script = f"trap 'echo stopped > {folder}/stopped; exit 9' INT; : > {folder}/begun; while :; do sleep 0.1; done"
    child = proven.start("upgrade", "--json", "--", "sh", "-c", script)
    until = time.monotonic() + 30
    while not (proven.folder / "begun").exists() and time.monotonic() < until:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert Path(proven.folder / "stopped").exists() and b"Traceback" not in err
    (left,) = proven.json("upgrade", "--status")["left"]
    assert "ended with 9" in left["said"] and b'"verdict":"interrupted"' in out


def test_the_gate_at_the_command_line(proven: Lab) -> None:
    """Exit codes, the line for monitoring, and evidence of what changed and of nothing else."""
    assert proven.rw("gate").out.splitlines()[0].startswith("Gate of main: open")
    line = proven.rw("gate", "--nagios").out
    assert line.startswith("RESTICWRAP OK - ") and " | proof_age=" in line and line.count("\n") == 1
    with proven.house(clock=FixedClock(SystemClock().now() + timedelta(days=8))) as built:
        for _ in range(2):
            assert not gate.decided(built.records).open
        events = [event for event in built.state.waiting("main") if event.kind == "gate"]
        assert [event.body["open"] for event in events] == [True, False]
    proven.write_policies()
    time.sleep(1.1)  # the fixture proved it less than a second ago
    (proven.folder / "policies" / "gates.yaml").write_text("gates: {proof_within: 1s}\n")
    assert proven.rw("gate", code=21).out.count("closed (proof)") == 1
    assert proven.rw("gate", "--nagios", code=2).out.startswith("RESTICWRAP CRITICAL - ")
    assert proven.rw("gate", "--nagios", "--policies", "nowhere", code=3).out.startswith("RESTICWRAP UNKNOWN - ")


def test_open_damage_stops_a_prune(proven: Lab) -> None:
    """Of that tier, until it is cleared or somebody overrides it; other reasons that close the gate do not."""
    with proven.house() as built:
        (good,) = built.catalog.jobs("main", kind="verify")
        assert prune.dry_run(built.context, ["hot"], built.clock.now(), at_once=True).tiers
        bad = [{"kind": "pack_missing", "name": "ab" * 32}]
        found = msgspec.structs.replace(good, id="verify_x", outcome="failed", started_at=built.clock.now())
        built.catalog.close_job(msgspec.structs.replace(found, details={**good.details, "damages": bad}))
        with pytest.raises(errors.GateClosed, match="missing packs"):
            prune.prune(built.context, ["hot"], at_once=True)
        with pytest.raises(errors.GateClosed):
            prune.dry_run(built.context, ["hot"], built.clock.now(), at_once=True)
        assert prune.dry_run(built.context, ["cold"], built.clock.now(), at_once=True).tiers
        assert gate.override(built.records, "nothing of it is needed", timedelta(hours=1)).open
        assert prune.dry_run(built.context, ["hot"], built.clock.now(), at_once=True).tiers
