"""`rw logs` and logs as JSON, on real jobs: the story of one is whole, private, and tells of no secret."""

import json
import os
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.conftest import MakeLab
from tests.faults.machine import until
from tests.lab import PASSWORD, Lab

SIZE = 2 << 20
SECRET = "hunter2-in-the-environment"


def stories(lab: Lab) -> list[Path]:
    return sorted((lab.state / "logs").glob("*.jsonl"))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def posted(lab: Lab) -> list[int | None]:
    """How many bytes running jobs say that there are, once they know; each file is replaced whole."""
    return [
        piece["bytes_total"]
        for path in (lab.state / "progress").glob("*.json")
        for piece in json.loads(path.read_bytes())["pieces"]
    ]


def slow(lab: Lab) -> None:
    """A backup that takes as long as a test needs."""
    lab.write("exams/large.bin", os.urandom(SIZE))
    lab.target["limit_upload"] = 300
    lab.write_policies()


def test_the_story_of_a_backup(lab: Lab) -> None:
    """Its beginning, each domain, each restic, its end, all with the job's id; for its owner alone, and no secret in
    it. `rw logs` lists it, and shows it with its record, also by the beginning of its id."""
    lab.fill("exams")
    secrets = {"RESTIC_PASSWORD": PASSWORD, "AWS_SECRET_ACCESS_KEY": SECRET, "HF_TOKEN": SECRET}
    job = lab.json("backup", env=secrets)["job"]
    (path,) = stories(lab)
    lines = read(path)
    text = path.read_text()
    assert SECRET not in text and PASSWORD not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {line["job"] for line in lines} == {job["id"]} == {path.stem}
    messages = [line["message"] for line in lines]
    assert "began" in messages[0] and messages[-1] == "ended: ok"
    assert {"exams: started", "exams: ok", "profiles: started"} <= set(messages)
    assert any("5 new, 0 changed, 0 removed" in message for message in messages)
    commands = [line["command"] for line in lines if "command" in line]
    assert sum(" backup " in command for command in commands) == 2
    assert {line["exit_code"] for line in lines if "exit_code" in line and "pid" in line} == {0}
    assert not (lab.state / "progress").exists() or not list((lab.state / "progress").iterdir())

    (row,) = lab.json("logs")["jobs"]
    assert (row["job"], row["outcome"], row["running"]) == (job["id"], "ok", False)
    head, *told = lab.rw("logs", job["id"][:16], "--json").lines
    assert head["record"]["outcome"] == "ok" and told == lines
    shown = lab.rw("logs", "--last").out
    assert shown.startswith(f"{job['id']}: incremental backup of main on ") and "ended: ok" in shown

    (lab.data / "exams").rename(lab.data / "away")
    failed = lab.json("backup", "--domain", "exams", code=None)["job"]
    lines = read(path.with_stem(failed["id"]))
    (told_of,) = [line for line in lines if line.get("domain") == "exams" and "kind" in line]
    assert told_of["level"] == "error" and told_of["kind"] == failed["domains"][0]["error"]["kind"] and told_of["hint"]
    assert lines[-1]["outcome"] == failed["outcome"] != "ok" and lines[-1]["level"] != "info"
    assert "2 jobs begin with snapsh" in lab.rw("logs", "snapsh", code=1).err
    assert "No job is called nobody" in lab.rw("logs", "nobody", code=1).err


def test_a_killed_job(lab: Lab) -> None:
    """What was written stays readable, the job is seen to run while it runs, and to be gone when it is gone."""
    slow(lab)
    process = lab.start("backup", "--domain", "exams")
    try:
        until(lambda: posted(lab) == [SIZE])
        (running,) = lab.json("status")["running"]
        assert (running["kind"], running["pid"], running["target"]) == ("backup", process.pid, "main")
        assert [(piece["name"], piece["outcome"]) for piece in running["pieces"]] == [("exams", None)]
        assert running["pieces"][0]["bytes_done"] <= SIZE
        assert f"backup {running['job']} for " in lab.rw("status").out
        (row,) = lab.json("logs")["jobs"]
        assert row["running"] and row["outcome"] == "running"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert lab.json("status")["running"] == []
    shown = lab.rw("logs", running["job"]).out
    assert "exams: started" in shown and "ended" not in shown and "Its process is gone" in shown
    (row,) = lab.json("logs")["jobs"]
    assert not row["running"]
    del lab.target["limit_upload"]
    lab.write_policies()
    lab.rw("backup", "--domain", "profiles")
    assert "INTERRUPTED" in lab.rw("logs", running["job"]).out.upper()


def test_following(lab: Lab) -> None:
    """From the beginning to the end of the job, line by line, and then its record as it is; Ctrl-C ends it well."""
    slow(lab)
    job = lab.start("backup", "--domain", "exams")
    until(lambda: stories(lab))
    follower, other = lab.start("logs", "--follow", "--json"), lab.start("logs", "-f")
    assert follower.stdout is not None and other.stdout is not None
    out = b""
    while b"exams: started" not in out:
        out += os.read(follower.stdout.fileno(), 1 << 16)
    assert b"running" in other.stdout.readline()
    other.send_signal(signal.SIGINT)
    other.communicate(timeout=20)
    job.send_signal(signal.SIGINT)
    job.communicate(timeout=30)
    rest, err = follower.communicate(timeout=20)
    head, *lines, last = [json.loads(line) for line in (out + rest).splitlines()]
    assert (follower.returncode, other.returncode, err) == (0, 0, b"")
    assert head["running"] and head["record"]["outcome"] == "running"
    assert lines == read(stories(lab)[0]) and lines[-1]["message"].startswith("ended: interrupted")
    assert not last["running"] and last["record"]["outcome"] == "interrupted"
    assert "No job of target main runs now" in lab.rw("logs", "--follow", code=1).err


def test_without_a_log(lab: Lab) -> None:
    """A job whose log is gone, or that another machine did, is shown by its record, which says where to look; a folder
    that cannot be written, and one that is no folder, fail no job."""
    lab.fill("exams")
    (lab.state / "logs").mkdir(exist_ok=True)
    (lab.state / "logs").rmdir()
    (lab.state / "logs").write_text("in the way")
    (lab.state / "progress").write_text("in the way")
    job = lab.json("backup")["job"]
    assert job["outcome"] == "ok"
    for name in ("logs", "progress"):
        (lab.state / name).unlink()
    shown = lab.rw("logs", job["id"]).out
    assert f"no log: None of it is kept here. Logs are kept on {job['host']}, where it ran," in shown
    (head,) = lab.rw("logs", job["id"], "--json").lines
    assert head["missing"] and head["record"]["id"] == job["id"]
    assert lab.json("logs")["jobs"] == []
    assert "No job of target main has a log here" in lab.rw("logs").out


def test_logs_as_json(make_lab: MakeLab) -> None:
    """With RW_LOG_FORMAT=json each line of stderr is one object, with time, level and job; with --json as well, and a
    failure too. A value that is neither is refused."""
    lab = make_lab("local")
    lab.fill("exams")
    env = {"RW_LOG_FORMAT": "json"}
    for more in ((), ("--json",), ("-v",)):
        done = lab.rw("backup", *more, env=env)
        lines = [json.loads(line) for line in done.err.splitlines()]
        assert lines[-1]["message"] == "ended: ok" and len({line["job"] for line in lines}) == 1
        assert all(line["time"].endswith("Z") and line["level"] for line in lines)
        assert any("command" in line for line in lines) == ("-v" in more)
        if "--json" in more:
            assert lines[0]["job"] == done.json["job"]["id"]
    assert lab.rw("backup", "-q", env=env).err == ""
    (line,) = lab.rw("backup", "--domain", "nope", code=2, env=env).err.splitlines()
    told = json.loads(line)
    assert (told["kind"], told["exit_code"], told["level"]) == ("UsageError", 2, "error") and told["hint"]
    assert "RW_LOG_FORMAT must be json or plain" in lab.rw("status", code=2, env={"RW_LOG_FORMAT": "xml"}).err


def watch(lab: Lab, *more: str, seconds: float = 20, screens: int = 3) -> tuple[int, bytes]:
    """Start a watch in a pipe, wait for so many screens, and end it with Ctrl-C."""
    process = lab.start("status", "--watch", "--interval", "0.2", *more)
    assert process.stdout is not None
    out, until_ = b"", time.monotonic() + seconds
    while out.count(b"\n{" if "--json" in more else b"domains within") < screens and time.monotonic() < until_:
        out += os.read(process.stdout.fileno(), 1 << 16)
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=20)
    assert err == b"", err
    return process.returncode, out + rest


def test_watching_in_a_pipe(lab: Lab) -> None:
    """Plain screens with a blank line between, or one document a line; Ctrl-C ends it with 0. A catalogue that goes
    away is told of, and comes back."""
    lab.fill("exams")
    lab.rw("backup")
    code, out = watch(lab)
    assert code == 0 and b"\x1b" not in out and b"\n\nmain (local): " in out
    code, out = watch(lab, "--json")
    documents = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(documents) >= 3 and {document["target"] for document in documents} == {"main"}
    assert documents[0]["space"] and documents[0]["running"] == []

    process = lab.start("status", "--watch", "--interval", "0.2", "--json")
    assert process.stdout is not None
    catalog = lab.state / "catalog.sqlite"
    try:
        assert "target" in json.loads(process.stdout.readline())
        catalog.rename(catalog.with_suffix(".away"))
        until(lambda: b"CatalogUnavailable" in process.stdout.readline())  # type: ignore[union-attr]
        catalog.with_suffix(".away").rename(catalog)
        until(lambda: b'"domains"' in process.stdout.readline())  # type: ignore[union-attr]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert lab.rw("status", "--watch", "--svg", "x.svg", code=2).out == ""
    assert "nope" in lab.rw("status", "--watch", "--domain", "nope", code=2).err


def on_a_terminal(lab: Lab, *, environ: dict[str, str], lines: int) -> bytes:
    """What a watch draws on a pseudo-terminal of so many lines, until Ctrl-C."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 80, 0, 0))
    env = {**{key: value for key, value in lab.env.items() if key != "COLUMNS"}, **environ}
    process = subprocess.Popen(
        lab.command("status", "--watch", "--interval", "0.2"),
        env=env,
        cwd=lab.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    out, end = b"", time.monotonic() + 20
    try:
        while out.count(b"domains within") < 2 and time.monotonic() < end:
            out += os.read(ours, 1 << 16)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines + 5, 60, 0, 0))
        seen = out.count(b"domains within")
        while out.count(b"domains within") < seen + 2 and time.monotonic() < end:
            out += os.read(ours, 1 << 16)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        os.close(theirs)
        while True:
            try:
                out += os.read(ours, 1 << 16)
            except OSError:  # the other end is closed, and all was read
                return out
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_watching_on_a_terminal(lab: Lab) -> None:
    """Its own screen, and the old one back at the end with its cursor; of another size it is drawn anew. A terminal
    that cannot move its cursor gets lines; NO_COLOR is heeded."""
    lab.fill("exams")
    lab.rw("backup")
    out = on_a_terminal(lab, environ={"TERM": "xterm-256color", "NO_COLOR": "1"}, lines=10)
    assert out.count(b"\x1b[?1049h") == 1 == out.count(b"\x1b[?1049l") and b"\x1b[?25h" in out
    assert b"\x1b[32m" not in out and "✓".encode() in out
    out = on_a_terminal(lab, environ={"TERM": "dumb"}, lines=10)
    assert b"\x1b" not in out and b"exams" in out
