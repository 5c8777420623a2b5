"""The scheduler in a simulated world: what it starts, when, and what it does about everything that goes wrong."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from resticwrap.errors import DiskFull, Failure, Locked
from resticwrap.model.base import Time
from resticwrap.model.schedule import Pause, RunRequest
from resticwrap.model.unattended import ScheduledRun
from resticwrap.services.schedule import telling, wishes
from resticwrap.services.schedule_ports import Ended
from tests.simulated import NOON, World

FULL = {"kind": "backup", "type": "full"}
HOURLY = {"cron": "0 * * * *"}


def world(folder: Path, **jobs: Mapping[str, Any]) -> World:
    return World(folder, jobs)


def test_each_moment_is_run_once(tmp_path: Path) -> None:
    """`every` from the start of the one before, cron at its moments, each to the second; what was begun is closed."""
    here = world(tmp_path, often={"every": "4m"}, hourly={**FULL, **HOURLY})
    here.run(2.05)
    often, hourly = here.runs("often"), here.runs("hourly")
    assert [run.started_at - NOON for run in often] == [timedelta(minutes=4 * n) for n in range(31)]
    assert [run.started_at - NOON for run in hourly] == [timedelta(hours=1), timedelta(hours=2)]
    assert {(run.outcome, run.exit_code, run.trigger) for run in often + hourly} == {("ok", 0, "due")}
    assert all(run.due_at == run.started_at and run.finished_at and run.job for run in often[1:] + hourly)
    assert here.files.spooled() == []


def test_downtime_is_caught_up_with_one_run(tmp_path: Path) -> None:
    """However many moments passed; and then the rhythm is what it was."""
    here = world(tmp_path, often={"every": "4m"}, hourly={**FULL, **HOURLY})
    here.run(1.5)
    here.clock.sleep(5.2 * 3600)
    here.run(1)
    assert here.told("hourly") == ["13:00 due ok", "18:42 catch-up ok", "19:00 due ok"]
    assert [run.trigger for run in here.runs("often")][22:26] == ["due", "catch-up", "due", "due"]
    caught = here.runs("hourly")[1]
    assert caught.due_at == NOON + timedelta(hours=6)


def test_an_end_that_cannot_be_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk: it is told once, and written down as it was when there is room again; nothing is run twice."""
    here = world(tmp_path, hourly={**FULL, **HOURLY})
    told, full = list[str](), [False]

    class Listener:
        name = "listener"

        def begin(self) -> None: ...

        def tick(self, now: Time) -> None: ...

        def after(self, run: ScheduledRun) -> None:
            told.append(run.outcome)

        def end(self) -> None: ...

    def spool(run: ScheduledRun) -> None:
        if full[0]:
            raise DiskFull("There is no room left.")
        type(here.files).spool(here.files, run)

    monkeypatch.setattr(here.files, "spool", spool)
    here.attendants = [Listener()]
    scheduler = here.scheduler()
    assert here.children is not None
    here.children.lasts["hourly"] = 60
    for seconds, value in ((3630, True), (4000, False)):
        here.at(scheduler, seconds, lambda value=value: full.__setitem__(0, value))  # type: ignore[misc]
    here.at(scheduler, 5400, scheduler.stop)
    scheduler.run()
    assert told == ["running", "ok"]
    assert here.told("hourly") == ["13:00 due ok"]


def test_state_that_is_lost(tmp_path: Path) -> None:
    """Without the state directory the catalogue's runs say what was done; without both, it is as for the first time."""
    here = world(tmp_path, hourly={**FULL, **HOURLY})
    here.run(1.5)
    here.clock.sleep(3600)
    (here.state / "schedule" / "handled.json").unlink()
    here.run(0.1)
    assert here.told("hourly") == ["13:00 due ok", "14:30 catch-up ok"]
    here.clock.sleep(3600)
    (here.state / "schedule" / "handled.json").write_text("{nonsense")
    here.catalog_down = True
    here.run(1)
    here.catalog_down = False
    here.run(0.01)
    assert here.told("hourly")[2:] == ["16:00 due ok"]


def test_one_of_a_kind_waits_and_then_runs_once(tmp_path: Path) -> None:
    """A run that takes longer than its rhythm is followed by one, at once; another of its kind on the same domains
    waits for it, and one of another kind, or on other domains, does not."""
    here = world(
        tmp_path, often={"every": "4m", "domains": ["exams"]}, other={"cron": "2 12 * * *"},
        full={**FULL, "cron": "2 12 * * *"}, beside={"cron": "2 12 * * *", "domains": ["profiles"]},
    )  # fmt: skip
    scheduler = here.scheduler()
    assert here.children is not None
    here.children.lasts |= {"often": 630.0, "other": 60.0, "beside": 30.0}
    here.at(scheduler, 1300, scheduler.stop)
    scheduler.run()
    assert here.told("often") == ["12:00 due ok", "12:11 due interrupted"]
    # It has waited longer than the other one's second moment, and so goes first.
    assert here.told("other") == ["12:10 due ok"]
    assert here.told("full") == ["12:02 due ok"] and here.told("beside") == ["12:02 due ok"]


def test_a_run_that_takes_too_long(tmp_path: Path) -> None:
    """It is stopped after its maximum, counts as `overran`, and the next one comes at its time."""
    here = world(tmp_path, often={"every": "1h", "max_run": "10m"})
    scheduler = here.scheduler()
    assert here.children is not None
    here.children.lasts["often"] = 100_000.0
    here.at(scheduler, 3700, scheduler.stop)
    scheduler.run()
    assert here.told("often") == ["12:00 due overran", "13:00 due interrupted"]
    assert here.runs()[0].finished_at == NOON + timedelta(minutes=10)


def test_stopped_and_begun_again(tmp_path: Path) -> None:
    """What was interrupted with the scheduler is caught up by the next one, once, though its moment is over."""
    here = world(tmp_path, hourly={**FULL, **HOURLY})
    scheduler = here.scheduler()
    assert here.children is not None
    here.children.lasts["hourly"] = 600.0
    here.at(scheduler, 3660, scheduler.stop)
    scheduler.run()
    here.clock.sleep(300)
    here.run(0.5)
    assert here.told("hourly") == ["13:00 due interrupted", "13:06 catch-up ok"]


@pytest.mark.parametrize("left", ["alive", "said", "nothing"])
def test_a_scheduler_that_was_killed(tmp_path: Path, left: str) -> None:
    """A run that goes on is watched to its end; one that is over is closed by its own word; one that left no word is
    lost, and its moment is caught up. None is run twice, none stays open."""
    here = world(tmp_path, hourly={**FULL, **HOURLY})
    here.scheduler()
    assert here.children is not None
    here.children.lasts["hourly"] = 600.0
    here.crash(1.01)
    (run,) = here.children.begun
    assert [one.outcome for one in here.runs()] == ["running"]
    if left == "alive":
        here.children.living.add(run.id)
    if left == "said":
        here.children.said[run.id] = Ended(outcome="partial", job="job-1")
    here.run(0.5)
    expected = {
        "alive": ["13:00 due ok"],
        "said": ["13:00 due partial"],
        "nothing": ["13:00 due lost", "13:00 due ok"],
    }
    assert here.told("hourly") == expected[left]
    assert here.catalog.open_runs("vm") == [] and here.files.spooled() == []


def test_what_takes_the_scheduler_along_is_left_in_the_end(tmp_path: Path) -> None:
    """A moment whose runs go down with the scheduler is tried three times; then its next moment comes."""
    here = world(tmp_path, hourly={**FULL, **HOURLY})
    here.scheduler()
    assert here.children is not None
    here.children.lasts["hourly"] = 600.0
    here.crash(1.01)
    for _ in range(4):
        here.crash(0.05)
    here.run(1)
    outcomes = [(run.due_at - NOON, run.outcome) for run in here.runs("hourly")]
    assert outcomes == [(timedelta(hours=1), "lost")] * 3 + [(timedelta(hours=2), "ok")]


def test_runs_that_only_the_catalogue_knows(tmp_path: Path) -> None:
    """Where the state directory was lost with a run open, the catalogue does not believe in it for ever."""
    here = world(tmp_path, hourly={**FULL, **HOURLY})
    here.crash(1.0001)
    assert [run.outcome for run in here.runs()] == ["running"]
    for file in (here.state / "schedule" / "runs").iterdir():
        file.unlink()
    here.run(0.1)
    assert here.told("hourly") == ["13:00 due lost", "13:00 due ok"]


def test_the_catalogue_is_down(tmp_path: Path) -> None:
    """Runs go on, are kept in the state directory, and come into the catalogue when it answers."""
    here = world(tmp_path, often={"every": "10m"})
    scheduler = here.scheduler()
    here.catalog_down = True
    here.at(scheduler, 3500, lambda: setattr(here, "catalog_down", False))
    here.at(scheduler, 3000, lambda: kept.extend(here.files.spooled()))
    kept: list[ScheduledRun] = []
    here.at(scheduler, 3700, scheduler.stop)
    scheduler.run()
    assert len(kept) == 6 and here.files.spooled() == []
    assert [run.outcome for run in here.runs()] == ["ok"] * 7


def test_no_record_no_act(tmp_path: Path) -> None:
    """Where a run cannot be written down it is not begun, and is due until it can be."""
    here = world(tmp_path, often={"every": "1h"})
    scheduler = here.scheduler()
    assert here.children is not None
    write, begun = scheduler.parts.ledger.write, here.children.begun

    def full(run: ScheduledRun) -> None:
        raise Failure("There is no room.")

    scheduler.parts.ledger.write = full  # type: ignore[method-assign]
    here.at(scheduler, 95, lambda: setattr(scheduler.parts.ledger, "write", write))
    here.at(scheduler, 90, lambda: seen.append(len(begun)))
    here.at(scheduler, 200, scheduler.stop)
    seen: list[int] = []
    scheduler.run()
    assert seen == [0] and here.told("often") == ["12:01 catch-up ok"]


def test_pauses(tmp_path: Path) -> None:
    """What is paused is not started; what came due meanwhile runs once when the pause ends. What runs goes on."""
    here = world(tmp_path, often={"every": "10m"}, hourly={**FULL, **HOURLY})
    scheduler = here.scheduler()
    pause = Pause(since=NOON, by="root", until=NOON + timedelta(minutes=45))
    here.at(scheduler, 60, lambda: here.files.put_pauses({"often": pause}))
    here.at(scheduler, 3000, lambda: here.files.put_pauses({"": Pause(since=NOON, by="root")}))
    here.at(scheduler, 4000, lambda: here.files.put_pauses({}))
    here.at(scheduler, 4100, scheduler.stop)
    scheduler.run()
    assert here.told("often") == ["12:00 due ok", "12:45 catch-up ok", "13:06 catch-up ok"]
    assert here.told("hourly") == ["13:06 catch-up ok"]


def test_wishes(tmp_path: Path) -> None:
    """A job runs when somebody wishes it, also one that is off; it waits as any other, takes no moment's place, and the
    answer lies there. A job that is not there is refused."""
    here = world(tmp_path, often={"every": "1h"}, off={**FULL, "every": "1h", "enabled": False})
    scheduler = here.scheduler()
    assert here.children is not None
    here.children.lasts["often"] = 120.0
    for number, name in enumerate(("often", "off", "nobody")):
        wish = RunRequest(id=f"wish_{number}", name=name, at=NOON + timedelta(seconds=30), by="root")
        here.at(scheduler, 30, lambda wish=wish: here.files.ask(wish))  # type: ignore[misc]
    answers: list[RunRequest] = []
    here.at(scheduler, 3500, lambda: answers.extend(here.files.asked()))
    here.at(scheduler, 9000, scheduler.stop)
    scheduler.run()
    assert here.told("often") == ["12:00 due ok", "12:02 manual ok", "13:00 due ok", "14:00 due ok"]
    assert here.told("off") == ["12:00 manual ok"]
    assert [(one.name, one.run.outcome if one.run else one.refused) for one in answers] == [
        ("often", "ok"), ("off", "ok"), ("nobody", "There is no job 'nobody'."),
    ]  # fmt: skip
    assert here.files.asked() == []  # nobody read them for an hour


def test_policies_are_read_again(tmp_path: Path) -> None:
    """New jobs come, old ones go, one that is switched on does not catch up; a broken edit leaves all as it was and is
    told of, until it is mended."""
    here = world(tmp_path, often={"every": "10m"}, off={**FULL, **HOURLY, "enabled": False})
    scheduler = here.scheduler()

    def edit(jobs: Mapping[str, Mapping[str, Any]]) -> None:
        here.write(jobs)
        here.policies.changes += 1

    seen: list[str] = []
    here.at(scheduler, 4500, lambda: edit({"new": {"every": "30m"}, "off": {**FULL, **HOURLY}}))
    here.at(scheduler, 6000, lambda: edit({"new": {"every": "nonsense"}}))
    here.at(scheduler, 7000, lambda: seen.append(here.files.heartbeat().problem))  # type: ignore[union-attr]
    here.at(scheduler, 8000, lambda: edit({}))
    here.at(scheduler, 9000, scheduler.stop)
    scheduler.run()
    assert len(here.runs("often")) == 8
    assert here.told("new") == ["13:15 due ok", "13:45 due ok"]
    assert here.told("off") == ["14:00 due ok"]
    assert "schedule.yaml" in seen[0] and "jobs.new.every" in seen[0] and scheduler.problem == ""


def test_a_clock_that_is_put_back(tmp_path: Path) -> None:
    """By years, as where it was wrong at the start: jobs go on by their rhythm, none waits for that year to come."""
    here = world(tmp_path, often={"every": "10m"}, hourly={**FULL, **HOURLY})
    here.clock.sleep(3 * 365 * 86400)
    here.run(1.05)
    here.clock.sleep(-3 * 365 * 86400)
    here.run(1.05)
    back = [run for run in here.runs() if run.started_at < NOON + timedelta(days=1)]
    assert [run.name for run in back].count("often") == 6 and [run.name for run in back].count("hourly") == 1


class Guest:
    """An attendant that notes what it is told, and fails at everything."""

    name = "guest"

    def __init__(self) -> None:
        self.told: list[str] = []

    def _note(self, what: str) -> None:
        self.told.append(what)
        raise ValueError("secret")

    def begin(self) -> None:
        self._note("begin")

    def tick(self, now: Time) -> None:
        self._note("tick")

    def after(self, run: ScheduledRun) -> None:
        self._note(f"after {run.outcome}")

    def end(self) -> None:
        self._note("end")


def test_attendants(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are told of begin, minutes, starts and ends of runs, and the end; what they raise stops nothing, and is not
    shown but as what it is."""
    here = world(tmp_path, often={"every": "10m"})
    guest = Guest()
    here.attendants.append(guest)
    here.run(0.55)
    assert guest.told[:2] == ["begin", "after running"] and guest.told[-1] == "end"
    assert guest.told.count("tick") == 34
    assert guest.told.count("after ok") == guest.told.count("after running") == 4
    assert "guest" in caplog.text and "secret" not in caplog.text
    assert len(caplog.records) < 6  # the same again and again is told once


def test_only_one_at_a_time(tmp_path: Path) -> None:
    """A second scheduler on the same state directory is refused with a sentence."""
    here = world(tmp_path, often={"every": "10m"})
    scheduler = here.scheduler()
    with scheduler._alone(), pytest.raises(Locked, match="A scheduler runs already"):
        here.scheduler().run()


def test_once(tmp_path: Path) -> None:
    """What is due is done, the rest is not, and then it ends; the next time only what has become due since."""

    def at_once(run: ScheduledRun, command: Sequence[str], limit: float, done: Callable[[Ended], None]) -> None:
        threading.Thread(target=done, args=(Ended(outcome="ok"),)).start()

    here = world(tmp_path, often={"every": "10m"}, hourly={**FULL, **HOURLY})
    for sleep in (0.0, 1.0, 3600.0):
        here.clock.sleep(sleep)
        scheduler = here.scheduler()
        assert here.children is not None
        here.children.start = at_once  # type: ignore[method-assign]
        scheduler.once()
    assert [line[6:] for line in here.told("often")] == ["due ok", "catch-up ok"]
    assert [line[6:] for line in here.told("hourly")] == ["due ok"]


def test_what_is_told(tmp_path: Path) -> None:
    """The list, the moments to come and the history say what a scheduler that runs says and does."""
    here = world(tmp_path, often={"every": "10m"}, hourly={**FULL, **HOURLY}, off={"every": "1h", "enabled": False})
    scheduler = here.scheduler()
    here.at(scheduler, 1815, lambda: here.files.put_pauses({"hourly": Pause(since=NOON, by="root", reason="why")}))
    seen: list[Any] = []

    def look() -> None:
        facts = (scheduler.settings, scheduler.parts.ledger, here.clock.now(), telling.chosen(None, ()))
        seen.append((telling.listed(*facts), telling.coming(*facts, count=2)))

    here.at(scheduler, 1850, look)
    here.at(scheduler, 1900, scheduler.stop)
    scheduler.run()
    listed, coming = seen[0]
    assert listed.alive and listed.warnings == ()
    rows = {row.name: row for row in listed.rows}
    assert [(name, row.state) for name, row in rows.items()] == [("hourly", "paused"), ("off", "off"), ("often", "on")]
    assert rows["often"].next == NOON + timedelta(minutes=40) and rows["often"].last.outcome == "ok"
    assert rows["hourly"].next is None and rows["off"].next is None
    assert [(run.name, run.at - NOON) for run in coming.runs] == [
        ("often", timedelta(minutes=40)), ("often", timedelta(minutes=50)),
    ]  # fmt: skip
    after = telling.listed(scheduler.settings, scheduler.parts.ledger, here.clock.now(), telling.chosen("main", ["x"]))
    assert not after.alive and "rw schedule run" in after.warnings[0]
    assert len(telling.history(scheduler.parts.ledger, ("often",), since=None, limit=3).runs) == 3


def test_pause_and_resume_are_kept(tmp_path: Path) -> None:
    """What is written holds, what is only planned does not; a job that is not there is refused."""
    here = world(tmp_path, often={"every": "10m"}, hourly={**FULL, **HOURLY})
    settings, locks = here.load(), here.scheduler().parts.locks
    new = Pause(since=NOON, by="root")
    wishes.pause(settings, here.files, locks, ("often",), new, dry_run=True)
    assert here.files.pauses() == {}
    wishes.pause(settings, here.files, locks, ("often", "hourly"), new, dry_run=False)
    report = wishes.resume(settings, here.files, locks, ("often",), NOON, dry_run=False)
    assert list(report.pauses) == ["hourly"] == list(here.files.pauses()) and report.changed == ("often",)
    with pytest.raises(Failure, match="no job 'nobody'"):
        wishes.pause(settings, here.files, locks, ("nobody",), new, dry_run=False)
    wishes.pause(settings, here.files, locks, ("",), new, dry_run=False)
    with pytest.raises(Failure, match="together"):
        wishes.resume(settings, here.files, locks, ("often",), NOON, dry_run=False)
    assert wishes.resume(settings, here.files, locks, ("",), NOON, dry_run=False).pauses == {}
    assert json.loads((here.state / "schedule" / "paused.json").read_text()) == {}
