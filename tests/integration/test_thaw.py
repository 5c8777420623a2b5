"""Restoring what hot has forgotten out of cold, where packs must be thawed first; and verifying such a repository."""

import dataclasses
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import oss2
import pytest

from resticwrap.clock import Clock
from resticwrap.model.policy import VerifyRule
from resticwrap.services import backup, restoreplace
from resticwrap.services import restore as service
from resticwrap.services.choosing import Wish, choose
from resticwrap.services.thaw import Thawing
from resticwrap.services.verify import verify
from tests.conftest import MakeLab
from tests.lab import RAW, Lab, tree
from tests.servers.oss import OssServer, start_oss
from tests.servers.overlay import Overlay
from tests.servers.s3_cold import ColdS3, start_cold
from tests.servers.weed import S3Server

S3_NAMES = {"Archive": "GLACIER", "ColdArchive": "GLACIER", "DeepColdArchive": "DEEP_ARCHIVE"}
either_bucket = pytest.mark.parametrize("aged", ["oss", "s3_cold"], indirect=True)


@pytest.fixture
def server(aged: Lab, request: pytest.FixtureRequest) -> Overlay:
    """The server that the lab is on."""
    found: Overlay = request.getfixturevalue("oss" if aged.target["provider"] == "oss" else "s3_cold")
    return found


@pytest.fixture(scope="module")
def s3_cold(weed: S3Server) -> Iterator[ColdS3]:
    """As `oss`. It thaws as fast as OSS does its class Archive."""
    with start_cold(weed) as server:
        server.thaw_takes(60)
        yield server


@pytest.fixture(scope="module")
def oss(weed: S3Server) -> Iterator[OssServer]:
    """One of this module's own: its clock is moved."""
    with start_oss(weed) as server:
        yield server


class Fast(Clock):
    """Sleeping moves the clock of the server, and takes no time."""

    def __init__(self, server: Overlay) -> None:
        self.server, self.slept = server, 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.server.advance(seconds=seconds)


def age(lab: Lab, *, marked: bool = True, keep: str = "") -> list[str]:
    """Copy all that hot holds into cold, mark it, and forget it in hot; returns the original ids, oldest first.
    `keep` stays in hot."""
    with lab.house() as built:
        hot, cold = built.context.hot, built.context.cold
        snapshots = hot.snapshots()
        for one in snapshots:  # each into a pack of its own
            cold.copy(hot, [one.id])
        if marked:
            cold.retag([one.id for one in cold.snapshots()], add=["tier=cold"], remove=["tier=hot"])
        hot.forget([one.id for one in snapshots if one.original != keep])
        return [one.original for one in snapshots]


def packs(lab: Lab, *, trees: bool = False) -> list[str]:
    """The keys of cold's packs of data alone; with `trees`, of the others."""
    with lab.house() as built:
        reader = built.context.cold.trees()
        data = reader.data_only_packs()
        wanted = [pack for pack in reader.packs() if (pack in data) != trees]
    return [f"{lab.namespace}/cold/data/{pack[:2]}/{pack}" for pack in sorted(wanted)]


def freeze(server: Overlay, lab: Lab, keys: list[str], storage_class: str = "Archive") -> None:
    """Move objects to a class, as a rule of the bucket does."""
    name = lab.target["bucket"]
    if isinstance(server, OssServer):
        auth = oss2.AuthV4(server.access_key_id, server.access_key_secret)
        oss = oss2.Bucket(auth, server.path_endpoint, name, region=server.signing_region, is_path_style=True)
        for key in keys:
            oss.copy_object(name, key, key, headers={"x-oss-storage-class": storage_class})
        return
    assert isinstance(server, ColdS3)
    s3 = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=server.region,
    )
    for key in keys:
        content = s3.get_object(Bucket=name, Key=key)["Body"].read()
        s3.put_object(Bucket=name, Key=key, Body=content, StorageClass=S3_NAMES[storage_class])


def states(lab: Lab, keys: list[str]) -> list[str]:
    with lab.house() as built:
        assert built.bucket is not None
        return [built.bucket.thaw_state(key).state for key in keys]


@pytest.fixture
def aged(make_lab: MakeLab, request: pytest.FixtureRequest) -> Lab:
    """A lab on OSS, or as the test wishes, of which all is in cold alone, in several packs."""
    lab = make_lab(getattr(request, "param", "oss"))
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    with lab.house() as built:
        for number in range(3):
            lab.write(f"exams/day{number}.bin", os.urandom(5000))
            backup.backup(built.context, backup.plan(built.context, "incremental", built.settings.domains))
    age(lab)
    return lab


def test_hot_first_else_cold(make_lab: MakeLab) -> None:
    """By id, by time and the latest: hot where it is there, else cold, under the same id; with --tier, there alone."""
    lab = make_lab("local")
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    made, times = [], []
    for number in range(3):
        lab.write("exams/which.txt", str(number))
        made.append(lab.json("backup")["job"]["domains"][0]["snapshot"])
        times.append(datetime.now(UTC))
    age(lab, keep=made[0])

    def took(**wish: Any) -> tuple[str, str]:
        with lab.house() as built:
            (choice,) = choose(built.context, Wish(("exams",), **wish))
        assert choice.notes == () and choice.complete
        return choice.snapshot.original, choice.tier

    assert took(snapshot=made[1][:8]) == (made[1], "cold")
    assert took(snapshot=made[0][:8]) == (made[0], "hot")
    # Hot has only an older one than that which stood then.
    assert took(at=times[1]) == (made[1], "cold")
    assert took(at=times[0]) == (made[0], "hot")
    assert took(tier="cold") == (made[2], "cold")
    assert took(tier="cold", at=times[0]) == (made[0], "cold")
    assert "no snapshot" in lab.rw("restore", "--snapshot", made[1], "--tier", "hot", code=1).err
    listed = lab.rw("ls", "--domain", "exams", "--snapshot", made[2][:8], "--json").lines
    assert {row["snapshot"] for row in listed} == {made[2]}
    with lab.house() as built:
        built.context.hot.forget([one.id for one in built.context.hot.snapshots()])
    assert took() == (made[2], "cold")
    assert lab.json("restore", "--to", "back")["domains"][0]["tier"] == "cold"
    assert (lab.folder / "back" / "exams" / "which.txt").read_text() == "2"


def test_an_unmarked_copy_is_told_of(make_lab: MakeLab) -> None:
    """A copy that nobody proved is taken where there is nothing else, with a note."""
    lab = make_lab("local")
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    lab.fill("exams", 1)
    lab.rw("backup")
    (made,) = age(lab, marked=False)
    report = lab.json("restore", "--to", "back", "--snapshot", made[:8])
    assert report["domains"][0]["tier"] == "cold"
    assert any("never proven" in note for note in report["notes"])


@either_bucket
def test_thawed_and_restored(aged: Lab, server: Overlay) -> None:
    """Exactly the packs of what is wanted are asked for and waited for; then the restore runs, and the record tells."""
    keys = packs(aged)
    assert len(keys) == 3
    freeze(server, aged, keys)
    to, how = aged.folder / "back", Thawing(days=2, speed="expedited")
    with aged.house(Fast(server)) as built:
        preview = service.preview(built.context, Wish(("exams",), ("day1.bin",)), to, how)
        (plan,) = preview.thaw
        assert (plan.packs, len(plan.ask), plan.classes[0].packs) == (1, 1, 1)
        assert states(aged, keys) == ["frozen"] * 3
        agreed = dataclasses.replace(how, agrees=lambda shown: shown == plan)
        report = service.restore(built.context, Wish(("exams",), ("day1.bin",)), to, agreed)
    assert sorted(states(aged, keys)) == ["frozen", "frozen", "thawed"]
    assert (to / "exams" / "day1.bin").read_bytes() == (aged.data / "exams" / "day1.bin").read_bytes()
    (thawed,) = report.thawed
    assert report.job.outcome == "ok" and thawed.asked == plan.ask and 55 < thawed.waited < 400
    assert thawed.until is not None
    with aged.house() as built:
        record = built.catalog.job(report.job.id)
    assert record is not None and record.details["thawed"][0]["asked"] == list(plan.ask)


def test_in_place(aged: Lab, oss: OssServer) -> None:
    """The same in place, of a whole domain: what is thawed already is not asked for again, what froze again is."""
    keys = packs(aged)
    freeze(oss, aged, keys)
    before = tree(aged.data / "exams")
    (aged.data / "exams" / "day0.bin").unlink()
    with aged.house(Fast(oss)) as built:
        assert built.bucket is not None
        for key in keys[:2]:
            built.bucket.thaw(key, 1, "standard")
        oss.advance(seconds=61)
        built.bucket.thaw(keys[2], 1, "standard")
        how = Thawing(agrees=lambda plan: (len(plan.ask), len(plan.wait), len(plan.thawed)) == (0, 1, 2))
        report = restoreplace.restore(built.context, Wish(("exams",)), force=True, how=how)
    assert report.mode == "in-place" and report.domains[0].tier == "cold"
    assert tree(aged.data / "exams") == before


def test_refused_in_a_pipe(aged: Lab, oss: OssServer) -> None:
    """Nobody can be asked: the plan, and the option to give; nothing was asked for, no folder made. The same by
    --dry-run, which is no failure."""
    keys = packs(aged)
    freeze(oss, aged, keys, "ColdArchive")
    run = aged.rw("restore", "--to", "back", code=1)
    assert "3 packs" in run.err and "ColdArchive" in run.err and "2 hours to 5 hours" in run.err and "--thaw" in run.err
    failed = aged.json("restore", "--to", "back", code=1)
    assert failed["error"]["kind"] == "RestoreRefused"
    assert "ColdArchive" in aged.rw("restore", "--to", "back", "--dry-run", "--thaw-speed", "bulk").out
    assert states(aged, keys) == ["frozen"] * 3 and not (aged.folder / "back").exists()
    aged.rw("restore", "--to", "back", "--thaw", "--thaw-days", "400", code=2)


def test_killed_while_it_waits(aged: Lab, oss: OssServer) -> None:
    """By Ctrl-C or at once: the same command again asks for nothing twice, and goes on by itself once all is thawed."""
    keys = packs(aged)
    freeze(oss, aged, keys)

    def waiting() -> "subprocess.Popen[bytes]":
        child = aged.start("restore", "--to", "back", "--thaw")
        assert child.stderr is not None
        said = next(line for line in child.stderr if b"Waiting; after" in line)
        asked.append(int(said.split(b"Asked for ")[1].split()[0]))
        return child

    asked: list[int] = []
    first = waiting()
    first.send_signal(signal.SIGINT)
    assert first.wait(20) == 130
    assert states(aged, keys) == ["thawing"] * 3
    second = waiting()
    second.kill()
    second.wait(20)
    third = waiting()
    oss.advance(seconds=61)
    third.communicate(timeout=60)
    assert third.returncode == 0 and asked == [3, 0, 0]
    assert tree(aged.folder / "back" / "exams") == tree(aged.data / "exams")
    jobs = {job["outcome"] for job in aged.json("history")["jobs"] if job["kind"] == "restore"}
    assert jobs == {"interrupted", "ok"}


def test_frozen_trees_fail_at_once(aged: Lab, oss: OssServer) -> None:
    """A wrong rule froze packs of trees, or the index: every command says so, and restic is never left to wait."""
    (key,) = packs(aged, trees=True)[:1]
    freeze(oss, aged, packs(aged, trees=True))
    began = time.monotonic()
    for words in (["ls"], ["restore", "--to", "back", "--thaw"], ["verify", "--tier", "cold"]):
        shutil.rmtree(aged.folder / "cache", ignore_errors=True)
        run = aged.rw(*words, code=1)
        assert "frozen" in run.err and "rw lifecycle status" in run.err and f"{lab_prefix(aged)}/data/" in run.err
    freeze(oss, aged, [f"{lab_prefix(aged)}/index/{name}" for name in index_names(aged)])
    for words in (["ls"], ["snapshots"], ["verify", "--tier", "cold"]):
        assert "/index/" in aged.rw(*words, code=1).err
    assert time.monotonic() - began < 60, key


def lab_prefix(lab: Lab) -> str:
    return f"{lab.namespace}/cold"


def index_names(lab: Lab) -> list[str]:
    with lab.house() as built:
        return [item.key.rsplit("/", 1)[-1] for item in built.store.list(f"{lab_prefix(lab)}/index/")]


@either_bucket
def test_verify_passes_frozen_packs_over(aged: Lab, server: Overlay) -> None:
    """They are not read, not sampled, not counted as read, and named; what is readable is read, and damage found."""
    keys = packs(aged)
    freeze(server, aged, keys[:2])
    report = aged.json("verify", "--tier", "cold", "--share", "1", "--sample", "10")
    assert report["ok"] and len(report["sampled"]) == 1 and report["sampled"][0]["ok"]
    details = report["job"]["details"]
    assert details["frozen"] == 2 and details["frozen_size"] > 10_000
    coverage = report["coverage"]
    assert coverage["packs_total"] - coverage["packs_read"] == 2
    assert any("2 packs are frozen" in note for note in report["notes"])
    assert any("could not be in the sample" in note for note in report["notes"])
    # What can be read is read for real.
    with aged.house() as built:
        content = bytearray(built.store.get(keys[2]))
        content[10] ^= 1
        built.store.put(keys[2], bytes(content))
    report = aged.json("verify", "--tier", "cold", "--share", "1", code=20)
    assert [(one["kind"], one["name"]) for one in report["damages"]] == [("pack_damaged", keys[2][-64:])]


def test_all_frozen_proves_nothing(aged: Lab, oss: OssServer) -> None:
    """Nothing of it can be restored, so no snapshot is proven by its empty folder."""
    freeze(oss, aged, packs(aged), "DeepColdArchive")
    with aged.house() as built:
        report = verify(built.context, "cold", VerifyRule(share="1", sample=5), ())
    assert report.ok and report.sampled == () and report.proven == ()
