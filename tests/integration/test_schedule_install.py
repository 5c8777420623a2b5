"""The schedule handed to systemd and cron: units that systemd takes, lines that a shell runs, files of nobody else."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import MakeLab
from tests.integration.test_json_contract import ELSEWHERE, fits
from tests.lab import PASSWORD, Lab, tree

INSTALL = ("schedule", "install")
JOBS: dict[str, dict[str, Any]] = {
    "often": {"kind": "backup", "type": "incremental", "target": "main", "every": "4m"},
    "full": {"kind": "backup", "type": "full", "target": "main", "domains": ["exams"], "cron": "0 2 13 * fri"},
    "check": {"kind": "verify", "target": "main", "cron": "30 3 * * 0", "max_run": "2h"},
    "age": {"kind": "copy", "target": "main", "cron": "0 4 * * *"},
    "never": {"kind": "prune", "target": "main", "cron": "0 5 * * *", "enabled": False},
}


def schedule(lab: Lab, **jobs: dict[str, Any]) -> None:
    file = lab.folder / "policies/schedule.yaml"
    file.write_text(yaml.safe_dump({"time_zone": "Asia/Shanghai", "jobs": jobs}))


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """Two domains with data, and a schedule."""
    lab = make_lab("local")
    lab.fill()
    lab.write("profiles/a", "a")
    schedule(lab, **JOBS)
    return lab


def install(lab: Lab, *more: str, code: int = 0, env: Mapping[str, str] | None = None) -> Any:
    return lab.json(*INSTALL, *more, code=code, env=env)


def actions(report: Any) -> dict[str, str]:
    return {Path(file["path"]).name: file["action"] for file in report["files"]}


def run_unit(lab: Lab, text: str) -> "subprocess.CompletedProcess[str]":
    """What a service says, done as systemd does it: its own environment and no other, credentials in a folder."""
    folder = lab.folder / "credentials"
    folder.mkdir(exist_ok=True)
    env: dict[str, str] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", text, re.M):
        if key == "LoadCredential":
            name, _, path = value.partition(":")
            shutil.copy(path, folder / name)
        elif key == "Environment":
            (word,) = shlex.split(value.replace("%d", str(folder)).replace("%%", "%"))
            name, _, env[name] = word.partition("=")
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.M)
    return subprocess.run(shlex.split(command), env=env, cwd="/", capture_output=True, text=True, timeout=60)


def test_systemd_takes_the_units_and_they_back_up(lab: Lab) -> None:
    """systemd-analyze has nothing to say of any of them; what a service runs is a backup; no secret stands anywhere."""
    report = install(lab, "--systemd", "--output", "units")
    fits(ELSEWHERE["schedule install"], report, "schedule install")
    install(lab, "--systemd", "--daemon", "--output", "units", "--name", "daemon")
    files = sorted((lab.folder / "units").iterdir())
    assert len(files) == 4 * 2 + 1 + 1
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here")
    verify = subprocess.run([program, "verify", "--man=no", *files], capture_output=True, text=True)
    assert (verify.returncode, verify.stdout + verify.stderr) == (0, "")
    assert PASSWORD not in "".join(file.read_text() for file in files)
    done = run_unit(lab, (lab.folder / "units/resticwrap-full.service").read_text())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (snapshot,) = lab.json("snapshots", "--domain", "exams")
    assert snapshot["snapshot"]["tags"]["type"] == "full"
    assert [job["when"] for job in report["jobs"] if job["name"] == "full"] == [
        ["*-*-13 02:00:00 Asia/Shanghai", "Fri *-*-* 02:00:00 Asia/Shanghai"]
    ]


def test_files_follow_the_schedule_and_no_other_file_is_touched(lab: Lab) -> None:
    """Written, kept, changed with the schedule, refused where somebody changed them, taken away again."""
    units = lab.folder / "units"
    units.mkdir()
    (units / "resticwrap-mine.service").write_text("[Unit]\nDescription=mine\n")
    here = ("--systemd", "--output", "units")
    before = tree(units)
    planned = install(lab, *here, "--dry-run")
    assert tree(units) == before and planned["mode"] == "planned" and set(actions(planned).values()) == {"add"}
    assert actions(install(lab, *here)) == actions(planned)
    written = tree(units)
    assert set(actions(install(lab, *here)).values()) == {"keep"} and tree(units) == written

    schedule(lab, often=JOBS["often"], full={**JOBS["full"], "max_run": "1h"})
    changed = {name: action for name, action in actions(install(lab, *here)).items() if action != "keep"}
    gone = {f"resticwrap-{job}.{kind}": "remove" for job in ("check", "age") for kind in ("service", "timer")}
    assert changed == {"resticwrap-full.service": "change", **gone}

    edited = units / "resticwrap-often.timer"
    edited.write_text(edited.read_text().replace("AccuracySec=1s", "AccuracySec=1h"))
    now = tree(units)
    for more in ((), ("--remove",)):
        error = install(lab, *here, *more, code=1)["error"]
        assert "resticwrap-often.timer was changed by hand" in error["message"] and tree(units) == now
    assert actions(install(lab, *here, "--force"))["resticwrap-often.timer"] == "change"
    assert install(lab, *here, "--remove")["mode"] == "removed"
    assert tree(units) == before
    assert install(lab, *here, "--remove")["files"] == []


def test_a_line_of_the_crontab_backs_up(lab: Lab) -> None:
    """What cron would hand to the shell is a backup, with the crontab's variables and no other; it prints nothing."""
    variables = lab.folder / "variables"
    variables.write_text("TZ='Asia/Shanghai'\n")
    variables.chmod(0o600)
    schedule(lab, often=JOBS["often"])
    report = install(lab, "--cron", "--output", "units", "--env-file", str(variables))
    assert report["next"] == [f"install -m 644 {lab.folder}/units/resticwrap /etc/cron.d/"]
    text = (lab.folder / "units/resticwrap").read_text()
    env = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z_]+=", line))
    (line,) = [line for line in text.splitlines() if line.startswith("*/4 ")]
    command = line.removeprefix("*/4 * * * * root ").replace("\\%", "%")
    count = len(lab.json("history")["rows"])
    done = subprocess.run(
        [env["SHELL"], "-c", command], env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(lab.json("history")["rows"]) > count
    schedule(lab, often={**JOBS["often"], "every": "7m"})
    error = install(lab, "--cron", "--output", "units", code=1)["error"]
    assert "often" in error["message"] and "6m or 10m" in error["message"] and "--systemd" in error["hint"]


STUB = """#!/bin/sh
echo "$(basename $0) $*" >> {folder}/called
case "$(basename $0) $1" in
"crontab -l") test -e {folder}/spool && exec cat {folder}/spool; echo "no crontab" >&2; exit 1 ;;
"crontab -") exec cat > {folder}/spool ;;
esac
"""


def stubs(lab: Lab) -> dict[str, str]:
    """A machine of a user's own: programs that write down how they are called, a home, a runtime folder of systemd."""
    folder = lab.folder / "bin"
    (lab.folder / "run/systemd").mkdir(parents=True)
    (lab.folder / "run/systemd/private").touch()
    folder.mkdir()
    for name in ("systemctl", "crontab"):
        (folder / name).write_text(STUB.format(folder=folder))
        (folder / name).chmod(0o755)
    path = f"{folder}:{lab.env['PATH']}"
    return {"PATH": path, "HOME": str(lab.folder / "home"), "XDG_RUNTIME_DIR": str(lab.folder / "run")}


def test_systemd_is_told(lab: Lab) -> None:
    """Reloaded and started; what changed is restarted; what goes is stopped while its unit is still there."""
    env = stubs(lab)
    called = lab.folder / "bin/called"
    schedule(lab, often=JOBS["often"], age=JOBS["age"])
    install(lab, "--systemd", "--user", "--force", env=env)
    control = "systemctl --user --no-ask-password"
    both = "resticwrap-age.timer resticwrap-often.timer resticwrap.target"
    assert called.read_text().splitlines() == [f"{control} daemon-reload", f"{control} enable --now {both}"]
    called.unlink()
    schedule(lab, often={**JOBS["often"], "every": "7m"})
    install(lab, "--systemd", "--user", "--force", env=env)
    assert called.read_text().splitlines() == [
        f"{control} disable --now resticwrap-age.timer",
        f"{control} daemon-reload",
        f"{control} enable --now resticwrap-often.timer resticwrap.target",
        f"{control} restart resticwrap-often.timer",
    ]
    units = lab.folder / "home/.config/systemd/user"
    assert "OnUnitActiveSec=420s" in (units / "resticwrap-often.timer").read_text()
    install(lab, "--systemd", "--user", "--remove", env=env)
    assert list(units.iterdir()) == []


def test_a_crontab_of_ones_own(lab: Lab) -> None:
    """Our lines come and go; those of others stay. Without any systemd the units are refused, with the way out."""
    env = stubs(lab)
    spool = lab.folder / "bin/spool"
    spool.write_text("MAILTO=me\n1 2 * * * mine")
    schedule(lab, often=JOBS["often"])
    here = ("--cron", "--user")
    install(lab, *here, "--force", env=env)
    assert spool.read_text().startswith("MAILTO=me\n1 2 * * * mine\n# Written by")
    assert len([line for line in spool.read_text().splitlines() if line.startswith("*/4 * * * * export ")]) == 1
    written = spool.read_text()
    install(lab, *here, "--force", env=env)
    assert spool.read_text() == written
    spool.write_text(written.replace("*/4", "*/5"))
    assert "changed by hand" in install(lab, *here, "--remove", code=1, env=env)["error"]["message"]
    spool.write_text(written + "3 4 * * * later\n")
    install(lab, *here, "--remove", env=env)
    assert spool.read_text() == "MAILTO=me\n1 2 * * * mine\n3 4 * * * later\n"
    error = install(lab, "--systemd", "--user", code=1, env={**env, "XDG_RUNTIME_DIR": "/nowhere"})["error"]
    assert "--cron" in error["hint"] and "--output" in error["hint"]


def test_no_secret_is_written_and_nothing_runs_that_others_may_change(lab: Lab) -> None:
    """What stands in this shell alone is refused by name; in a private file it is not."""
    secret = "hush-hush-hush"
    here = ("--systemd", "--output", "units")

    def refused(*more: str, **env: str) -> str:
        done = lab.rw(*INSTALL, *here, *more, env=env, code=1)
        assert secret not in done.out + done.err and not (lab.folder / "units").exists()
        return done.err

    assert "AWS_SECRET_ACCESS_KEY may hold a secret" in refused(AWS_SECRET_ACCESS_KEY=secret)
    assert "RW_CATALOG_URL" in refused(RW_CATALOG_URL=f"postgresql://rw:{secret}@db/rw")
    file = lab.folder / "variables"
    file.write_text(f"# one\nAWS_SECRET_ACCESS_KEY={secret}\nexport A={secret}\n")
    assert f"Line 3 of {file}" in refused("--env-file", str(file))
    file.write_text(f"AWS_SECRET_ACCESS_KEY={secret}\n")
    file.chmod(0o644)
    assert f"chmod 600 {file}" in refused("--env-file", str(file), AWS_SECRET_ACCESS_KEY=secret)
    policies = lab.folder / "policies/domains.yaml"
    policies.chmod(0o646)
    assert f"chmod o-w {policies}" in refused()
    policies.chmod(0o644)
    # Where something would run, it must be there after a boot too; and root alone decides for all.
    assert "does not last" in lab.rw(*INSTALL, "--cron", "--user", code=1, env=stubs(lab)).err
    file.chmod(0o600)
    install(lab, *here, "--env-file", str(file), env={"AWS_SECRET_ACCESS_KEY": secret})
    for unit in (lab.folder / "units").iterdir():
        assert secret not in unit.read_text()
        assert unit.suffix != ".service" or f"EnvironmentFile={file}\n" in unit.read_text()
