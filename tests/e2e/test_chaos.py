"""The stack for real while its S3 server is stopped, slowed, frozen and started again and its scheduler is killed: what
people were told and what the records say is held against what was done."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import tree
from tests.servers import engine
from tests.servers.receiver import Received, read_received
from tests.servers.stack import Stack, start_stack

DOMAINS = {"exam_uploads": "raw/exam_uploads", "student_profiles": "serving/student_profiles"}
EVERY, REMIND = timedelta(seconds=3), timedelta(seconds=5)
OUTAGE = ("backup_late", "incrementals_failed", "target")
"""The rules that a target which is gone breaks."""
COMPLETE = ("ok", "unchanged")
PATIENCE = 45.0
SLACK = 4.0
"""Seconds by which a busy machine may be late."""
FRESH = 10.0
"""Seconds for which the metrics of one scrape are good."""
ENDS = {"ok": "", "failed": "/fail", "lost": "/fail", "interrupted": "/log"}
"""What is pinged when a run has ended so."""
PORT = 8000
PYTHON = "/opt/resticwrap/bin/python"
ASK = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=9).read().decode())"
READ = """
    rw schedule history --limit 500 --json && rw history --limit 0 --json && rw snapshots --json &&
    rw alerts list --all --history --json && rw restore --to /restored --json
"""
Json = dict[str, Any]


@dataclass
class Chaos:
    """A stack at work, and when what was done to it (seconds since the epoch)."""

    stack: Stack
    done: dict[str, float] = field(default_factory=dict)
    lag: float = 0.0
    """The largest that the metrics told of when the outage was at its end."""
    told_before: int = 0
    containers: dict[str, str] = field(default_factory=dict)

    @property
    def received(self) -> Path:
        return self.stack.folder / "received" / "lines"

    def mark(self, what: str) -> None:
        self.done[what] = time.time()

    def docker(self, service: str, *words: str) -> None:
        """Do something to the container of a service."""
        if service not in self.containers:
            (self.containers[service],) = self.stack.compose("ps", "-aq", service).stdout.split()
        engine.docker(*words, self.containers[service])

    def pings(self, kind: str = "") -> list[Received]:
        """Pings of runs of one kind: `/start`, `/fail` or, of those that went well, nothing."""
        return [one for one in read_received(self.received) if one.path == f"/runs{kind}"]

    def told(self) -> list[tuple[str, str, str]]:
        """What was told of which alert, in its order (`fired`, `reminded` or `resolved`), and since when it is so."""
        found = []
        for one in read_received(self.received):
            lines = one.json["message"].splitlines() if one.path == "/alerts" else []
            for line, below in itertools.pairwise([*lines, ""]):
                if not line.startswith(" "):
                    words = line.partition(":")[0].split()
                    what = {"still": "reminded", "RESOLVED": "resolved"}.get(words[0], "fired")
                    found.append(
                        (what, words[1 if what == "fired" else 2], below.partition(";")[0].removeprefix("  since "))
                    )
        return found

    def names(self, what: str) -> set[str]:
        """Of which alerts this was told since the server was stopped."""
        return {name for told, name, _ in self.told()[self.told_before :] if told == what}

    def after(self, count: int, kind: str = "") -> None:
        """Wait for so many more pings of a kind."""
        before = len(self.pings(kind))
        until(lambda: len(self.pings(kind)) >= before + count)


def until(what: Callable[[], Any]) -> None:
    """Ask until the answer is truthy."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    """A stack whose policies are the shipped ones with seconds in place of minutes, and somebody who is told."""
    with start_stack(tmp_path) as stack:
        job = {
            "kind": "backup",
            "type": "incremental",
            "target": "s3",
            "domains": [*DOMAINS],
            "every": f"{EVERY.seconds}s",
        }
        stack.write_policy("schedule", {**stack.policy("schedule"), "jobs": {"incremental": job}})
        targets = stack.policy("targets")
        targets["targets"]["s3"]["grace"] = "3s"
        stack.write_policy("targets", targets)
        alerts = stack.policy("alerts")["alerts"]
        alerts |= {"every": "1s", "remind": f"{REMIND.seconds}s", "settle": "2s"}
        alerts["channels"]["operators"]["severities"] = ["critical"]
        alerts["rules"] |= {
            "backup_late": {"severity": "critical", "after": "9s"},
            "target": {"severity": "critical", "hold": "2s"},
        }
        stack.write_policy("alerts", {"alerts": alerts})
        (stack.folder / "received").mkdir()
        (stack.folder / "received").chmod(0o777)
        receiver = {
            "image": engine.IMAGE,
            "entrypoint": [PYTHON, "-m", "tests.servers.receiver", str(PORT), "/received/lines"],
            "working_dir": "/here",
            "volumes": [f"{engine.ROOT / 'tests'}:/here/tests:ro", f"{stack.folder / 'received'}:/received"],
            "networks": ["backup"],
            "healthcheck": {"disable": True},
            "init": True,
        }
        stack.files = [stack.folder / "receiver.json"]
        stack.files[0].write_text(yaml.safe_dump({"services": {"receiver": receiver}}))
        stack.env |= {
            "COMPOSE_PROFILES": "backup,dev-s3",
            "RW_ALERT_URL": f"json://receiver:{PORT}/alerts",
            "RW_HEALTHCHECKS_URL": f"http://receiver:{PORT}/alive",
            "RW_HEALTHCHECKS_RUNS_URL": f"http://receiver:{PORT}/runs",
        }
        stack.run("backup-runner", "init")
        stack.compose("up", "-d")
        yield Chaos(stack)


@contextmanager
def school_at_work(data: Path, scratch: Path) -> Iterator[None]:
    """While people work a profile changes and an upload comes in, several times between two backups."""
    over = threading.Event()
    profiles = itertools.cycle(sorted((data / DOMAINS["student_profiles"]).rglob("*.json")))
    uploads = sorted((data / DOMAINS["exam_uploads"]).rglob("*.csv"))

    def work() -> None:
        for number, upload in enumerate(itertools.cycle(uploads)):
            upload.with_name(f"resit-{number:03}.csv").write_bytes(upload.read_bytes() + b"%d\n" % number)
            path = next(profiles)
            new = scratch / path.name
            new.write_text(json.dumps(json.loads(path.read_text()) | {"resits": [number]}))
            new.chmod(path.stat().st_mode)
            os.replace(new, path)
            if over.wait(0.4):
                return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def break_things(chaos: Chaos) -> None:
    """All that goes wrong, one after the other; in between it works."""
    chaos.after(3)
    chaos.told_before = len(chaos.told())
    chaos.mark("stop")
    chaos.docker("dev-s3", "stop")
    chaos.mark("stopped")
    until(lambda: chaos.names("fired") >= {*OUTAGE} and chaos.names("reminded"))
    chaos.mark("asked")
    chaos.lag = lag(chaos.stack)
    chaos.mark("start")
    chaos.docker("dev-s3", "start")
    until(lambda: chaos.names("resolved") >= {*OUTAGE})
    chaos.mark("resolved")

    chaos.docker("dev-s3", "update", "--cpu-quota", "20000")
    chaos.after(1, "/start")
    chaos.docker("dev-s3", "pause")
    time.sleep(1)
    chaos.docker("dev-s3", "unpause")
    chaos.after(1)
    chaos.docker("dev-s3", "update", "--cpu-quota", "-1")

    chaos.after(1, "/start")
    chaos.mark("kill")
    chaos.docker("backup-scheduler", "kill", "--signal", "KILL")
    chaos.docker("backup-scheduler", "start")
    chaos.mark("again")
    chaos.after(1)


def lag(stack: Stack) -> float:
    """The largest lag that the metrics tell of."""
    url = "http://127.0.0.1:9823/metrics"
    said = stack.compose("exec", "-T", "backup-scheduler", PYTHON, "-c", ASK, url).stdout
    lines = [line for line in said.splitlines() if line.startswith("resticwrap_domain_rpo_lag_seconds{")]
    return max(float(line.rpartition(" ")[2]) for line in lines if any(name in line for name in DOMAINS))


def documents(text: str) -> list[Any]:
    """JSON documents that stand one after the other."""
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def seconds(text: str) -> float:
    return at(text).timestamp()


def each_moment_was_run_once(runs: Sequence[Json]) -> None:
    """Each run stands for the moment after the one before, or again for that of a run that went down; they come one
    at a time, and none is left open."""
    assert [run["outcome"] for run in runs].count("lost") <= 1
    assert {run["outcome"] for run in runs[:-1]} <= {"ok", "failed", "lost"}
    for before, run in itertools.pairwise(runs):
        assert at(run["due_at"]) == (
            at(before["due_at"]) if before["outcome"] == "lost" else at(before["started_at"]) + EVERY
        )
        free = max(at(run["due_at"]), at(before["finished_at"]))
        assert timedelta() <= at(run["started_at"]) - free <= timedelta(seconds=SLACK)


def no_snapshot_is_missing(chaos: Chaos, runs: Sequence[Json], rows: Sequence[Json], snapshots: Sequence[Json]) -> None:
    """Runs failed only while the server was gone. All others saw every domain whole, and what they wrote down is in the
    repository. Nothing else is there, but what a run stored that went down."""
    for run in runs:
        seen = {row["domain"] for row in rows if row["job"] == run["job"] and row["outcome"] in COMPLETE}
        if run["outcome"] == "ok":
            assert seen == {*DOMAINS}
        elif run["outcome"] == "failed":
            assert chaos.done["stop"] <= seconds(run["finished_at"])
            assert seconds(run["started_at"]) <= chaos.done["start"] + SLACK
    recorded = {row["snapshot"] for row in rows if row["outcome"] in COMPLETE}
    there = {one["snapshot"]["id"]: one for one in snapshots}
    assert recorded <= there.keys() and all(there[name]["complete"] for name in recorded)
    broken = {run["job"] for run in runs if run["outcome"] != "ok"}
    assert {there[name]["snapshot"]["tags"]["job"] for name in there.keys() - recorded} <= broken


def the_gap_is_as_it_was(chaos: Chaos, runs: Sequence[Json], rows: Sequence[Json]) -> None:
    """Nobody claims to have seen a domain while the server was gone; right before and right after somebody did. The lag
    that was measured, and the time since when it was told to be late, are counted from there."""
    done, lasts = chaos.done, []
    patience = EVERY.seconds + SLACK + max(seconds(run["finished_at"]) - seconds(run["started_at"]) for run in runs)
    for domain in DOMAINS:
        looks = [seconds(row["time"]) for row in rows if row["domain"] == domain and row["outcome"] in COMPLETE]
        last = max(look for look in looks if look <= done["stopped"])
        first = min(look for look in looks if look > last)
        assert done["stop"] - patience <= last and done["start"] <= first <= done["start"] + patience
        lasts.append(last)
    assert done["asked"] - FRESH - min(lasts) <= chaos.lag <= done["start"] - min(lasts)
    late = [since for what, name, since in chaos.told() if what != "resolved" and name == "backup_late"]
    assert datetime.fromtimestamp(max(lasts), UTC).isoformat(timespec="seconds") in late


def people_were_told_once(chaos: Chaos, events: Sequence[Json]) -> None:
    """Each alert is told when it begins, not sooner again than a reminder is due, and once when it is over: as the
    history has it, so it was delivered. What the outage broke was told and is over."""
    told = [(what, name) for what, name, _ in chaos.told()]
    known = [one for one in reversed(events) if one["severity"] == "critical"]
    assert sorted(told) == sorted((one["change"], one["rule"]) for one in known)
    for name in {name for _, name in told}:
        own = [one for one in known if one["rule"] == name]
        for before, one in itertools.pairwise(own):
            assert (one["change"] == "fired") == (before["change"] == "resolved")
            assert one["change"] != "reminded" or at(one["at"]) - at(before["at"]) >= REMIND
        assert own[0]["change"] == "fired"
    for name in OUTAGE:
        in_outage = [one["change"] for one in known if one["rule"] == name and
                     chaos.done["stop"] <= seconds(one["at"]) <= chaos.done["resolved"]]  # fmt: skip
        assert in_outage.count("fired") <= 1 and in_outage.count("resolved") == 1 and in_outage[-1] == "resolved"


def runs_were_pinged(chaos: Chaos, runs: Sequence[Json]) -> None:
    """The start and the end of each run, under one id; of those that met the kill no more than that."""
    pinged: dict[str, set[str]] = defaultdict(set)
    for one in read_received(chaos.received):
        if one.path.startswith("/runs"):
            pinged[one.query["rid"]].add(one.path.removeprefix("/runs"))
    for run in runs:
        told = pinged.pop(str(uuid.uuid5(uuid.NAMESPACE_OID, run["id"])), set())
        due = {"/start", ENDS[run["outcome"]]}
        met = seconds(run["started_at"]) <= chaos.done["again"] and seconds(run["finished_at"]) >= chaos.done["kill"]
        assert told <= due if met else told == due
    assert not pinged
    assert "/alive" in {one.path for one in read_received(chaos.received)}


def test_nothing_is_lost_and_nothing_untold(chaos: Chaos) -> None:
    """With its S3 server stopped, slowed, frozen and started again and its scheduler killed, the stack does exactly
    what is due, tells each alert once and its end once, and records the gap as it was. All that should be there is."""
    with school_at_work(chaos.stack.data, chaos.stack.folder):
        break_things(chaos)
    chaos.after(1, "/start")  # what is at work may have begun before
    chaos.after(1)
    chaos.stack.compose("stop", "backup-scheduler")
    schedule, history, snapshots, alerts, _ = documents(chaos.stack.shell("backup-restore", READ))
    runs = sorted(schedule["runs"], key=lambda run: at(run["started_at"]))

    each_moment_was_run_once(runs)
    no_snapshot_is_missing(chaos, runs, history["rows"], snapshots)
    the_gap_is_as_it_was(chaos, runs, history["rows"])
    people_were_told_once(chaos, alerts["history"])
    runs_were_pinged(chaos, runs)
    for name, place in DOMAINS.items():
        assert tree(chaos.stack.restored / name) == tree(chaos.stack.data / place)
