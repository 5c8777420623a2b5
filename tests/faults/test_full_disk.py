"""Full disks, one after the other: the store's, the cache's, the temporary one, the state's, the restore's.

Each is a tmpfs of a few megabytes, in a mount namespace of its own, which an ordinary user may have as well.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from resticwrap.clock import SystemClock
from tests.faults.machine import outcomes, packs, running, snapshot_files, sound
from tests.lab import PASSWORD, Lab, Run, tree

MIB = 1 << 20


@dataclass
class Room:
    """A mount namespace with a small disk at `place`; `rw` and anything else can be run inside."""

    lab: Lab
    keeper: "subprocess.Popen[bytes]"
    place: Path

    def run(self, *command: str, env: Mapping[str, str] | None = None, seconds: float = 60) -> Run:
        """Run a command inside."""
        enter = ["nsenter", "--preserve-credentials", "-U", "-m", "-t", str(self.keeper.pid), "--wd=."]
        done = subprocess.run(
            [*enter, *command],
            env={**self.lab.env, **(env or {})},
            cwd=self.lab.folder,
            capture_output=True,
            timeout=seconds,
        )
        return Run(done.returncode, done.stdout.decode(), done.stderr.decode())

    def rw(self, *arguments: str, code: int | None = 0, env: Mapping[str, str] | None = None) -> Run:
        """Run `rw` inside, as `Lab.rw` does outside."""
        run = self.run(*self.lab.command(*arguments), env=env)
        assert "Traceback" not in run.err and "did not foresee" not in run.out + run.err, run.err
        assert PASSWORD not in run.out + run.err
        assert code is None or run.code == code, f"rw {arguments} exited {run.code}\n{run.out}\n{run.err}"
        return run

    def sh(self, script: str) -> None:
        run = self.run("sh", "-c", script)
        assert run.code == 0, run.err

    def fill(self, leave: int = 0) -> None:
        """Leave that many KiB."""
        self.sh(f"cat /dev/zero > '{self.place}/ballast' 2>/dev/null; true")
        if leave:
            self.sh(f"truncate -s -{leave}K '{self.place}/ballast'")

    def make_room(self) -> None:
        self.sh(f"rm -f '{self.place}/ballast'; mount -o remount,size=200m '{self.place}'")

    def keep(self) -> None:
        """Copy what is on the disk to where it would lie without it, for looking at it from outside."""
        hidden = self.lab.folder / "kept"
        hidden.mkdir()
        self.sh(f"cp -a '{self.place}/.' '{hidden}/'")


@contextmanager
def room(lab: Lab, place: Path, size: str) -> Iterator[Room]:
    """A disk of `size` at `place`, holding what lay there."""
    place.mkdir(parents=True, exist_ok=True)
    aside = lab.folder / "aside"
    script = (
        f"mkdir -p '{aside}' && cp -a '{place}/.' '{aside}/' && mount -t tmpfs -o size={size},mode=700 tmpfs '{place}'"
        f" && cp -a '{aside}/.' '{place}/' && echo ready && exec cat"
    )
    keeper = subprocess.Popen(["unshare", "-rm", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert keeper.stdin is not None and keeper.stdout is not None
    try:
        assert keeper.stdout.readline() == b"ready\n"
        yield Room(lab, keeper, place)
    finally:
        keeper.stdin.close()
        keeper.wait(10)
        keeper.stdout.close()


def full(run: Run, place: Path) -> None:
    """It said that there is no room, where, and what to do."""
    text = " ".join((run.out + run.err).split())
    assert "no room" in text.lower(), text
    assert str(place)[:60] in text or place.name in text, text
    assert "what to do" in text, text


@pytest.fixture
def ready(lab: Lab) -> Lab:
    """A lab with one backup."""
    lab.fill("exams", 4)
    lab.rw("backup")
    return lab


def test_store(ready: Lab) -> None:
    """A full store ends the backup in seconds with 1; what was there is there, and with room again all goes on."""
    lab = ready
    before = snapshot_files(lab)
    lab.write("exams/large.bin", os.urandom(16 * MIB))
    clock = SystemClock()
    with room(lab, lab.store, "8m") as disk:
        started = clock.monotonic()
        full(disk.rw("backup", "--domain", "exams", code=1), lab.store)
        assert clock.monotonic() - started < 30
        assert not running(lab) and outcomes(lab, "backup")[0] == "failed"
        disk.rw("restore", "--domain", "exams", "--to", str(lab.folder / "back"))
        disk.make_room()
        disk.rw("backup", "--domain", "exams")
        disk.rw("verify", "--share", "1")
        disk.keep()
    assert before < {path.name for path in (lab.folder / "kept" / lab.namespace / "hot" / "snapshots").iterdir()}


def test_store_without_a_byte(ready: Lab) -> None:
    """On a store without a single free byte nothing can be locked or written; reading still works."""
    lab = ready
    lab.fill("exams", 6)
    with room(lab, lab.store, "8m") as disk:
        disk.fill()
        full(disk.rw("backup", "--domain", "exams", code=1), lab.store)
        disk.rw("snapshots")
        disk.rw("ls", "--domain", "exams")
        disk.make_room()
        disk.rw("backup")


@pytest.mark.parametrize("what", ["cache", "temporary"])
def test_cache_and_temporary(ready: Lab, what: str) -> None:
    """A full cache or temporary folder either does not matter or is told as what it is."""
    lab = ready
    before = snapshot_files(lab)
    lab.write("exams/large.bin", os.urandom(24 * MIB))
    place = lab.folder / what
    if what == "temporary":
        lab.env["TMPDIR"] = str(place)
    with room(lab, place, "2m") as disk:
        disk.fill()
        run = disk.rw("backup", "--domain", "exams", code=None)
        assert run.code in (0, 1)
        if run.code:
            full(run, place)
        assert not running(lab)
        disk.make_room()
        disk.rw("backup", "--domain", "exams")
        disk.rw("verify", "--share", "1")
    assert before < snapshot_files(lab)
    sound(lab, before)


def test_state(ready: Lab) -> None:
    """Without room for a record nothing is begun; a disk that fills up later costs no snapshot."""
    lab = ready
    lab.fill("exams", 6)
    before = snapshot_files(lab)
    with room(lab, lab.state, "4m") as disk:
        disk.fill()
        full(disk.rw("backup", "--domain", "exams", code=1), lab.state)
        assert snapshot_files(lab) == before
        disk.rw("snapshots")
        disk.make_room()
        disk.rw("backup", "--domain", "exams")
        assert len(snapshot_files(lab)) == len(before) + 1
        disk.rw("restore", "--domain", "exams", "--to", str(lab.folder / "back"))
    assert tree(lab.folder / "back" / "exams") == tree(lab.data / "exams")


def test_state_fills_up_meanwhile(ready: Lab) -> None:
    """With room for the record and for nothing more the snapshot is stored, and the next run takes everything up."""
    lab = ready
    before = snapshot_files(lab)
    for leave in (8, 24):
        lab.fill("exams", leave)
        with room(lab, lab.state, "4m") as disk:
            disk.fill(leave)
            run = disk.rw("backup", "--domain", "exams", code=None)
            assert run.code in (0, 1, 3), run.err
            disk.make_room()
            disk.rw("backup", "--domain", "exams")
            report = disk.run(*lab.command("backup", "--domain", "exams", "--json")).json
            assert report["job"]["domains"][0]["outcome"] == "unchanged"
            assert report["warnings"] == []
    assert before < snapshot_files(lab)
    sound(lab, before)


def test_restore(ready: Lab) -> None:
    """A restore that finds no room says so, leaves nothing that could be taken for the data, and works with room."""
    lab = ready
    lab.write("exams/large.bin", os.urandom(8 * MIB))
    lab.rw("backup", "--domain", "exams")
    back = lab.folder / "back"
    with room(lab, back, "3m") as disk:
        full(disk.rw("restore", "--domain", "exams", "--to", str(back / "here"), code=1), back)
        disk.make_room()
        disk.rw("restore", "--domain", "exams", "--to", str(back / "here"))
        disk.keep()
    assert tree(lab.folder / "kept" / "here" / "exams") == tree(lab.data / "exams")


def test_verify_sample(ready: Lab) -> None:
    """A verify samples what it has room for and says what it had none for; without any nothing is proven, and that is
    no good end. It leaves nothing there."""
    lab = ready
    lab.write("exams/large.bin", os.urandom(8 * MIB))
    lab.write("profiles/large.bin", os.urandom(8 * MIB))
    lab.rw("backup", "--domain", "exams")
    place = lab.folder / "temporary"
    lab.env["TMPDIR"] = str(place)
    with room(lab, place, "2m") as disk:
        run = disk.rw("verify", "--domain", "exams", "--sample", "20")
        assert "4 of 4 files" in run.out and "1 file could not be in the sample" in run.out
        assert str(place) in run.out and "TMPDIR" in run.out
        lab.rw("backup", "--domain", "profiles")
        run = disk.rw("verify", "--domain", "profiles", "--sample", "20", code=20)
        assert "0 of 1 file" in run.out and f"There is no room at {place}" in run.out and "TMPDIR" in run.out
        assert disk.run("ls", "-A", str(place)).out == ""
        disk.make_room()
        assert "5 of 5 files" in disk.rw("verify", "--domain", "exams", "--sample", "20").out


def test_damage_is_told_without_room_for_a_sample(ready: Lab) -> None:
    """A pack that is missing, and the files that it costs, are named however small the temporary folder is."""
    lab = ready
    (lost, *_) = sorted(packs(lab), key=lambda path: path.stat().st_size, reverse=True)
    lost.unlink()
    lab.write("profiles/large.bin", os.urandom(8 * MIB))
    lab.rw("backup", "--domain", "profiles")
    place = lab.folder / "temporary"
    lab.env["TMPDIR"] = str(place)
    with room(lab, place, "2m") as disk:
        disk.fill(64)
        report = disk.run(*lab.command("verify", "--json")).json
    assert [damage["name"] for damage in report["damages"]] == [lost.name]
    assert report["damages"][0]["paths"] and not report["ok"]
    assert any(str(place) in note for note in report["notes"])


def broken(lab: Lab, how: str) -> None:
    catalog = lab.state / "catalog.sqlite"
    for name in ("-wal", "-shm"):
        Path(f"{catalog}{name}").unlink(missing_ok=True)
    if how == "corrupt":
        catalog.write_bytes(b"this is no database" * 500)
    else:
        catalog.unlink()
        catalog.mkdir()


@pytest.mark.parametrize("how", ["corrupt", "unusable"])
def test_catalogue(ready: Lab, how: str) -> None:
    """Without a catalogue backup, verify and restore-beside go on, and say so; in place nothing is touched."""
    lab = ready
    broken(lab, how)
    lab.fill("exams", 6)
    report = lab.json("backup", "--domain", "exams")
    assert report["job"]["outcome"] == "ok"
    assert any("catalogue" in warning for warning in report["warnings"])
    assert list((lab.state / "spool").glob("snapshot_*.json"))
    lab.rw("verify", "--share", "1")
    lab.rw("restore", "--domain", "exams", "--to", "back")
    assert tree(lab.folder / "back" / "exams") == tree(lab.data / "exams")
    live = tree(lab.data / "exams")
    run = lab.rw("restore", "--domain", "exams", "--in-place", code=1)
    assert "catalogue" in run.err and "what to do" in run.err
    assert tree(lab.data / "exams") == live
    catalog = lab.state / "catalog.sqlite"
    catalog.rename(lab.state / "aside")
    lab.rw("catalog", "rebuild")
    assert outcomes(lab, "backup") == ["ok", "ok"]
    assert not running(lab)
    lab.rw("restore", "--domain", "exams", "--in-place")


def test_catalogue_on_a_full_disk(ready: Lab) -> None:
    """A catalogue whose own disk is full costs nothing but time: the record waits in the spool."""
    lab = ready
    lab.fill("exams", 6)
    place = lab.folder / "database"
    lab.env["RW_CATALOG_URL"] = f"sqlite:///{place}/catalog.sqlite"
    with room(lab, place, "1m") as disk:
        disk.fill()
        report = disk.run(*lab.command("backup", "--domain", "exams", "--json")).json
        assert report["job"]["outcome"] == "ok", report
        assert any("no room" in warning for warning in report["warnings"])
        run = disk.rw("restore", "--domain", "exams", "--in-place", code=1)
        full(run, place)
        disk.make_room()
        report = disk.run(*lab.command("backup", "--domain", "exams", "--json")).json
        assert report["warnings"] == []
        history = disk.run(*lab.command("history", "--json")).json
        assert len(history["rows"]) == 2 or len(history["rows"]) == 3
    assert not list((lab.state / "spool").glob("snapshot_*.json"))


def test_read_only_state(ready: Lab) -> None:
    """A state directory that was mounted read-only is told as such, and nothing is begun."""
    lab = ready
    before = snapshot_files(lab)
    lab.fill("exams", 6)
    with room(lab, lab.state, "8m") as disk:
        disk.sh(f"mount -o remount,ro '{lab.state}'")
        run = disk.rw("backup", code=1)
        assert "Read-only" in run.err and "what to do" in run.err
        disk.sh(f"mount -o remount,rw '{lab.state}'")
        disk.rw("backup")
    assert before < snapshot_files(lab)
