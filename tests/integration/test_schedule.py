"""`rw schedule` as an operator runs it: real backups, a scheduler that is a process of its own."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from tests.conftest import MakeLab
from tests.faults.machine import until
from tests.integration.test_json_contract import ELSEWHERE, fits
from tests.lab import Lab, Run

FULL = {"kind": "backup", "type": "full"}
OFTEN = {"kind": "backup", "type": "incremental", "every": "2s"}
VERIFY = {"kind": "verify", "cron": "30 3 * * 0"}


def schedule(lab: Lab, jobs: Mapping[str, Mapping[str, Any]]) -> None:
    """Give a lab these jobs."""
    file = lab.folder / "policies" / "schedule.yaml"
    content = yaml.safe_load(file.read_text())
    content["jobs"] = {name: {"target": "main", **job} for name, job in jobs.items()}
    file.write_text(yaml.safe_dump(content))


def runs(lab: Lab, name: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lab.json("schedule", "history", *([name] if name else []), "--limit", "1000")["runs"]
    return found


def stopped(scheduler: "subprocess.Popen[bytes]") -> Run:
    scheduler.send_signal(signal.SIGTERM)
    out, err = scheduler.communicate(timeout=60)
    return Run(scheduler.returncode, out.decode(), err.decode())


def test_a_day_in_short(lab: Lab) -> None:
    """A scheduler backs up by itself, takes a wish, keeps a second one away, reads new policies, outlasts broken ones,
    tells that it lives, and ends when it is asked to; what it did is in the history, job by job."""
    lab.fill("exams", 3)
    schedule(lab, {"often": OFTEN, "full": {**FULL, "cron": "0 2 * * *"}, "verify": {**VERIFY, "enabled": False}})
    assert lab.rw("schedule", "health", code=1).out.startswith("No scheduler has run here.")
    scheduler = lab.start("schedule", "run")
    try:
        until(lambda: len([run for run in runs(lab, "often") if run["outcome"] == "ok"]) >= 2, 60)
        wished = lab.json("schedule", "run-now", "full")
        fits(ELSEWHERE["schedule run-now"], wished, "run-now")
        assert [(run["name"], run["trigger"], run["outcome"]) for run in wished["runs"]] == [("full", "manual", "ok")]
        refused = lab.rw("schedule", "run", "--json", code=11)
        assert refused.json["error"]["kind"] == "Locked" and "runs already" in refused.json["error"]["message"]
        listed = lab.json("schedule", "list")
        fits(ELSEWHERE["schedule list"], {**listed, "rows": listed["rows"][:2]}, "list")
        assert listed["alive"] and {row["name"]: row["state"] for row in listed["rows"]}["verify"] == "off"
        fits(ELSEWHERE["schedule next"], lab.json("schedule", "next"), "next")
        fits(ELSEWHERE["schedule health"], lab.json("schedule", "health"), "health")
        policy = lab.folder / "policies" / "schedule.yaml"
        good = policy.read_text()
        policy.write_text(good.replace("every: 2s", "every: never"))
        until(lambda: "those before hold on" in str(lab.json("schedule", "list")["warnings"]), 30)
        before = len(runs(lab, "often"))
        until(lambda: len(runs(lab, "often")) > before, 30)
        policy.write_text(good)
        until(lambda: not lab.json("schedule", "list")["warnings"], 30)
    finally:
        ended = stopped(scheduler)
    assert ended.code == 0 and ended.out == ""
    assert "often: started, due at" in ended.err and "full: ok after" in ended.err
    assert "jobs.often.every" in ended.err and "the policies were read anew" in ended.err
    assert lab.rw("schedule", "health", code=1).out.startswith("The scheduler has ended.")
    done = [run for run in runs(lab) if run["outcome"] == "ok"]
    fits(ELSEWHERE["schedule history"], {**lab.json("schedule", "history"), "runs": done}, "history")
    with lab.house() as built:
        assert {job.id: job.run for job in built.catalog.jobs("main", limit=1000) if job.run} == {
            run["job"]: run["id"] for run in done
        } | {job.id: job.run for job in built.catalog.jobs("main", limit=1000) if job.outcome == "interrupted"}
    assert not [run for run in runs(lab) if run["outcome"] == "running"]


def test_by_hand_and_once(lab: Lab) -> None:
    """Without a scheduler a wish is carried out at once; `--once` does what is due and says by its exit code how that
    went, the next time nothing is due, and a run that failed is one that was."""
    lab.fill("exams", 2)
    schedule(lab, {"often": {**OFTEN, "every": "1h"}, "full": {**FULL, "cron": "0 2 * * *"}, "verify": VERIFY})
    planned = lab.json("schedule", "run-now", "full", "verify", "--dry-run")
    fits(ELSEWHERE["schedule run-now --dry-run"], planned, "plan")
    assert planned["planned"]["full"].startswith("rw backup --type full --target main --policies ")
    done = lab.rw("schedule", "run-now", "full", "verify", "--json")
    assert {run["name"]: run["outcome"] for run in done.json["runs"]} == {"full": "ok", "verify": "ok"}
    assert "full: started, manual" in done.err
    assert "no scheduler" in lab.rw("schedule", "run-now", "full", "--no-wait", code=2).err.lower()
    assert "There is no job 'nobody'" in lab.rw("schedule", "run-now", "nobody", code=2).err
    assert [run["name"] for run in lab.json("schedule", "run", "--dry-run")["runs"]] == ["often"]
    first = lab.json("schedule", "run", "--once", "-q")
    fits(ELSEWHERE["schedule run"], first, "once")
    assert [(run["name"], run["trigger"]) for run in first["runs"]] == [("often", "due")]
    assert lab.json("schedule", "run", "--once")["runs"] == []
    lab.domains["gone"] = {**lab.domains["exams"], "source": {"root": str(lab.data / "gone")}}
    lab.write_policies()
    schedule(lab, {"new": {**OFTEN, "domains": ["gone"]}})
    failed = lab.rw("schedule", "run", "--once", code=1)
    assert "new: failed" in failed.err and "failed" in failed.out.lower()
    assert [run["exit_code"] for run in runs(lab, "new")] == [1]


def test_downtime_and_pauses(lab: Lab) -> None:
    """What was missed is run once; what is paused is not, and is when the pause ends."""
    lab.fill("exams", 1)
    now = datetime.now(UTC)
    schedule(lab, {"full": {**FULL, "cron": f"{(now - timedelta(hours=1)):%M %H} * * *"}})
    folder = lab.state / "schedule"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "handled.json").write_text(json.dumps({"full": (now - timedelta(days=30)).isoformat()}))
    paused = lab.json("schedule", "pause", "full", "--for", "2h", "--reason", "a new disk")
    assert paused["pauses"]["full"]["reason"] == "a new disk"
    assert lab.json("schedule", "run", "--once")["runs"] == []
    row = lab.json("schedule", "list")["rows"][0]
    assert row["state"] == "paused" and row["next"] == row["pause"]["until"]
    assert "full is paused" in lab.rw("schedule", "list").out
    lab.rw("schedule", "resume", "full")
    (run,) = lab.json("schedule", "run", "--once")["runs"]
    assert (run["trigger"], run["outcome"]) == ("catch-up", "ok")
    assert run["due_at"][:13] == f"{now - timedelta(hours=1):%Y-%m-%dT%H}"
    assert lab.json("schedule", "run", "--once")["runs"] == []
    for wrong in (["pause"], ["pause", "full", "--all"], ["pause", "nobody"], ["pause", "full", "--for", "soon"]):
        lab.rw("schedule", *wrong, code=2)


def test_a_job_of_each_kind(lab: Lab) -> None:
    """Whatever a job may be, its command line is one that `rw` takes, and its job's id comes back."""
    lab.fill("exams", 2)
    kinds: dict[str, Mapping[str, Any]] = {
        "full": FULL, "copy": {"kind": "copy"}, "forget": {"kind": "forget"}, "verify": {"kind": "verify"},
        "drill": {"kind": "drill", "level": "l1"}, "prune": {"kind": "prune"},
    }  # fmt: skip
    schedule(lab, {name: {**kind, "every": "1h", "domains": ["exams"]} for name, kind in kinds.items()})
    for names in (["full"], ["copy", "verify", "drill"], ["forget"], ["prune"]):
        done = lab.json("schedule", "run-now", *names)["runs"]
        assert {run["name"] for run in done} == {*names}
        for run in done:
            assert (run["outcome"], run["message"]) == ("ok", ""), run
            assert run["job"] and run["kind"] == run["name"].replace("full", "backup")


def test_interrupted_while_it_waits(make_lab: MakeLab) -> None:
    """Ctrl-C of `run-now` without a scheduler interrupts the run, closes it, and exits 130."""
    lab = make_lab("local")
    lab.fill("exams", 1)
    slow = lab.folder / "slow-restic"
    slow.write_text(f'#!/bin/sh\ncase " $* " in *" backup "*) exec sleep 30;; esac\nexec {lab.restic} "$@"\n')
    slow.chmod(0o755)
    lab.env["RW_RESTIC"] = str(slow)
    schedule(lab, {"full": {**FULL, "every": "1h"}})
    command = lab.start("schedule", "run-now", "full")
    until(lambda: [run for run in runs(lab) if run["job"]], 30)
    os.kill(command.pid, signal.SIGINT)
    out, _ = command.communicate(timeout=60)
    assert command.returncode == 130 and b"interrupted" in out.lower()
    assert [run["outcome"] for run in runs(lab)] == ["interrupted"]


SECRET = "tertiary-hush"


@pytest.mark.parametrize("form", ["plain", "json"])
def test_the_log(lab: Lab, form: str) -> None:
    """It says when a run begins and ends and what it says, behind its job's name; as JSON every line is a document, and
    the scheduler's own name the run, and the job where it is known. Secrets are in none."""
    lab.fill("exams", 1)
    schedule(lab, {"full": {**FULL, "every": "1h"}})
    run = lab.rw("schedule", "run", "--once", "-v", env={"AWS_SECRET_ACCESS_KEY": SECRET, "RW_LOG_FORMAT": form})
    lines = run.err.splitlines()
    assert SECRET not in run.err and any("restic" in line and "backup" in line for line in lines)
    if form == "plain":
        assert any("full: started, due" in line for line in lines) and any("full: ok after" in line for line in lines)
        return
    documents = [json.loads(line) for line in lines]
    own = [one for one in documents if one.get("run") == "full"]
    job = runs(lab)[0]["job"]
    assert own[0]["message"].startswith("full: started") and own[-1]["job"] == job
    assert [one for one in documents if one.get("job") == job and one.get("logger") == "resticwrap.job"]
