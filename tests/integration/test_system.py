"""The whole system, rehearsed: started and asked, confined to its scratch place, and nothing that lives is touched."""

import os
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.clock import SystemClock
from resticwrap.host.confine import HostCommands
from resticwrap.host.sealing import AgeSealing
from resticwrap.model.drill import drill_details
from resticwrap.services import kit as kits
from resticwrap.services import system
from resticwrap.services.drill import frame, l3
from tests.handmade import cheap_age
from tests.lab import Lab, tree


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sealed inside this process opens in no time, by the very code that opens every other kit."""
    monkeypatch.setattr(AgeSealing, "seal", lambda _, plain, passphrase: cheap_age(plain, passphrase))


def policy(lab: Lab, **system: Any) -> None:
    """A recovery.yaml with these commands; a health command in Python asks `http` at this port."""
    (lab.folder / "policies" / "recovery.yaml").write_text(yaml.safe_dump({"system": system}))


def server(lab: Lab) -> dict[str, Any]:
    """A web server over the restored exams, which is healthy once it hands out the very file."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    ask = f"import urllib.request as u; assert u.urlopen('http://127.0.0.1:{port}/exams/one').read() == b'content'"
    return {
        "start": [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        "health": [sys.executable, "-c", ask],
        "healthy_within": "20s",
    }


def drill(lab: Lab, scratch: Path, **more: Any) -> Any:
    with lab.house() as built:
        order = frame.Order(level="l3", scratch=scratch)
        return frame.run(built.context, order, l3.work(built.context, **more))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def outside(lab: Lab) -> dict[str, Any]:
    """All that a drill must leave as it is: live data, policies, and the target but for the drill's own evidence."""
    found = {name: tree(lab.folder / name) for name in ("data", "policies")}
    stored = tree(lab.store)
    return {**found, "store": {name: one for name, one in stored.items() if "/evidence" not in name}}


def test_healthy(lab: Lab, scratch: Path) -> None:
    """A system that is a web server comes up out of the kit, is healthy, and is gone afterwards; neither live data nor
    the target were written to, and every domain has its RPO and RTO."""
    lab.write("exams/one", "content")
    lab.write("profiles/anna.json", "{}")
    policy(lab, **server(lab))
    lab.rw("backup")
    before = outside(lab)
    report = drill(lab, scratch)
    assert report.ok, report
    details = drill_details(report.job)
    assert details is not None and {"lock", "download", "compare", "start", "healthy"} <= set(details.phases)
    assert [(one.domain, one.failed, one.manifest, one.whole) for one in details.domains] == [
        ("exams", 0, True, True),
        ("profiles", 0, True, True),
    ]
    assert all(0 < one.actual_rto <= details.seconds and one.actual_rpo > 0 for one in details.domains)
    assert outside(lab) == before and not any(scratch.iterdir())
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", _port(lab)), 1):
        pass


def _port(lab: Lab) -> int:
    read = yaml.safe_load((lab.folder / "policies" / "recovery.yaml").read_text())
    return int(read["system"]["start"][3])


def test_writes_nowhere_else(lab: Lab, scratch: Path) -> None:
    """Commands that reach for live data fail, whatever they try: the drill says so, and all is as it was."""
    lab.write("exams/one", "content")
    live = lab.data / "exams"
    tries = "; ".join(
        f"({attempt}) && echo >> '{scratch}/escaped'"
        for attempt in (
            f"echo x > '{live}/one'",
            f"echo x >> '{live}/new'",
            f"rm -f '{live}/one'",
            f"chmod 777 '{live}/one'",
            f"mv '{live}' '{live}.gone'",
            f"touch '{lab.state}/touched'",
            f"echo x > '{lab.store}/x'",
            "mount -o remount,rw /",
        )
    )
    policy(lab, start=["sh", "-c", f"{tries}; sleep 60"], health=["sh", "-c", f"{tries}; test -f exams/one"])
    lab.rw("backup")
    before = outside(lab)
    report = drill(lab, scratch, domains=())
    assert report.ok, report
    assert outside(lab) == before and not (lab.state / "touched").exists() and not any(scratch.iterdir())


def test_what_a_health_command_says_stays_here(lab: Lab, scratch: Path) -> None:
    """It may be a password or a name: a person is told of it, evidence in the target is not."""
    lab.write("exams/one", "content")
    policy(lab, health=["sh", "-c", "echo no-login-as-anna:s3cret; exit 1"], healthy_within="1s")
    lab.rw("backup")
    report = drill(lab, scratch)
    assert not report.ok and any("s3cret" in note for note in report.notes)
    stored = [file.read_text() for file in lab.store.rglob("evidence/**/*.json")]
    assert any("not healthy within 1 s" in one for one in stored) and not any("s3cret" in one for one in stored)


def test_refused(lab: Lab, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be kept apart: a place that holds what lives, variables that lead to it, commands that have Docker do
    the work (then the data is proven, and the system is not: a failed drill)."""
    lab.write("exams/one", "content")
    lab.rw("backup")
    with pytest.raises(errors.RestoreRefused, match=r"state|live data"):
        drill(lab, lab.data / "exams")
    policy(lab, health=["true"], environment={"STATE": str(lab.state)})
    with pytest.raises(errors.RestoreRefused, match="STATE"):
        drill(lab, scratch)
    policy(lab, start=["docker", "compose", "up", "-d"], health=["true"])
    report = drill(lab, scratch)
    assert not report.ok and "docker" in " ".join(report.drill.failures)
    assert [one.failed for one in report.drill.domains] == [0, 0]


def test_started_for_good(lab: Lab, tmp_path: Path) -> None:
    """After a disaster nothing is confined: the system goes on when rw has ended, and a second run finds it healthy and
    starts nothing."""
    lab.write("exams/one", "content")
    policy(lab, **server(lab))
    lab.rw("backup")
    place = tmp_path / "place"
    with lab.house() as built:
        context = built.context
        kit, wanted = kits.gather(context), system.Wanted(declared=built.clock.now())
        reports = [system.restore(kit, place, wanted, context.recovery.elsewhere, built.clock) for _ in range(2)]
    pid = int((place / "rw/start.pid").read_text())
    try:
        assert [(one.ok, one.started, one.healthy) for one in reports] == [(True, True, True), (True, None, True)]
        assert reports[0].core_seconds is not None and reports[0].next
        with socket.create_connection(("127.0.0.1", _port(lab)), 5):
            pass
    finally:
        os.kill(pid, signal.SIGTERM)


def test_taken_away_since(lab: Lab, tmp_path: Path) -> None:
    """A domain that an earlier run brought back and that is not there any more is brought back, and not called done."""
    lab.write("exams/one", "content")
    lab.rw("backup")
    place = tmp_path / "place"
    with lab.house() as built:
        context = built.context
        kit, wanted = kits.gather(context), system.Wanted(declared=built.clock.now(), start=False)

        def restored() -> Any:
            return system.restore(kit, place, wanted, context.recovery.elsewhere, built.clock)

        assert restored().ok
        (place / "system" / "exams").rename(place / "system" / "taken")
        again = restored()
    assert again.ok and (place / "system/exams/one").read_text() == "content"
    assert {one.domain: one.resumed for one in again.domains} == {"exams": False, "profiles": True}


def test_no_device_leads_out(tmp_path: Path) -> None:
    """A device that a backup brought back into the scratch place opens nothing, and none can be made there."""
    if os.geteuid() != 0:
        pytest.skip("only root makes devices")
    place = tmp_path / "place"
    place.mkdir()
    os.mknod(place / "restored", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    commands = HostCommands(Cancel(), SystemClock())
    words = ["sh", "-c", "head -c 1 restored && exit 7; mknod made b 8 0 && exit 8; echo fine > file"]
    env = {"PATH": os.defpath}
    assert commands.ask(words, place=place, env=env, timeout=5.0, confined=place)[0] == 0
    assert (place / "file").read_text() == "fine\n" and not (place / "made").exists()
