"""A rebuild adds to what is known and takes nothing away, whatever it finds in the target."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest

from resticwrap import errors
from resticwrap.clock import FixedClock
from resticwrap.model.job import Job
from resticwrap.ports import Manifests
from resticwrap.services import backup
from resticwrap.services.rebuild import rebuild
from tests.broken import refused
from tests.lab import Lab


@pytest.fixture
def twice(lab: Lab) -> Lab:
    """Backed up twice, with a change in between."""
    lab.fill("exams", 2)
    lab.write("profiles/anna.json", "{}")
    lab.rw("backup")
    lab.fill("exams", 2)
    lab.rw("backup")
    return lab


def complete(lab: Lab) -> list[bool]:
    return [row["complete"] for row in lab.json("snapshots")]


def jobs(lab: Lab) -> set[str]:
    return {row["job"] for row in lab.json("history")["rows"] if row["kind"] == "backup"}


def latest(lab: Lab) -> dict[str, str]:
    domains = json.loads((lab.state / "latest_main.json").read_text())["domains"]
    return {name: one["snapshot"] for name, one in domains.items()}


@pytest.mark.parametrize("bare", [False, True], ids=["known", "bare"])
def test_another_environment(twice: Lab, bare: bool) -> None:
    """Manifests that are looked for in the wrong place: exit code 3, and no complete snapshot becomes partial."""
    twice.target["environment"] = "elsewhere"
    twice.write_policies()
    if bare:
        twice.copy_state_away()
    known = set() if bare else jobs(twice)
    report = twice.json("catalog", "rebuild", code=3)
    assert report["manifests"] == 0 and "backups/elsewhere/" in report["skipped"][0]
    assert complete(twice) == [not bare] * 3 and jobs(twice) == known
    # With the right one all is well again, from either.
    del twice.target["environment"]
    twice.write_policies()
    twice.rw("catalog", "rebuild")
    assert complete(twice) == [True] * 3 and len(jobs(twice)) == 2


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_an_unreadable_manifest(twice: Lab, how: str) -> None:
    """What the catalogue knows of its job and its snapshots stays."""
    known, parents = jobs(twice), latest(twice)
    for manifest in twice.manifests():
        manifest.chmod(0o600)
        manifest.write_bytes(b"noise") if how == "damaged" else manifest.unlink()
    report = twice.json("catalog", "rebuild", code=3)
    assert len(report["skipped"]) == (3 if how == "damaged" else 1)
    assert jobs(twice) == known and complete(twice) == [True] * 3 and latest(twice) == parents
    assert twice.json("backup")["job"]["outcome"] == "ok"


def test_a_rebuild_may_be_told_to_stop(twice: Lab) -> None:
    """While it reads the manifests, which may be very many; what was known stays, and the next one does it all."""
    known = jobs(twice)
    with twice.house() as built:
        context = built.context

        class Stops:
            def __getattr__(self, name: str) -> Any:
                return getattr(context.manifests, name)

            def keys(self) -> Iterator[str]:
                for key in context.manifests.keys():  # noqa: SIM118
                    built.cancel.set()
                    yield key

        with pytest.raises(errors.Interrupted):
            rebuild(dataclasses.replace(context, manifests=cast(Manifests, Stops())))
    assert jobs(twice) == known and complete(twice) == [True] * 3
    assert twice.json("catalog", "rebuild")["manifests"] == 2


def test_manifests_on_their_way(twice: Lab) -> None:
    """A manifest that waits in the state directory counts as one that is in the target."""
    moved = twice.manifests()[-1]
    kept = twice.state / "manifests" / "main" / f"{moved.parent.name}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(moved, kept)
    known, parents = jobs(twice), latest(twice)
    for file in (*twice.state.glob("latest_*"), *twice.state.glob("catalog*")):
        file.unlink()
    report = twice.json("catalog", "rebuild")
    assert (report["manifests"], report["without_manifest"]) == (2, 0)
    assert jobs(twice) == known and complete(twice) == [True] * 3 and latest(twice) == parents


def test_a_backup_of_the_future(lab: Lab) -> None:
    """A look under a wrong clock does not take the place of one that came after; it counts where it is the only one."""

    def backed_up(ahead: timedelta) -> Job:
        with lab.house() as built:
            now = built.clock.now()
        with lab.house(FixedClock(now + ahead)) as built:
            plan = backup.plan(built.context, "incremental", built.settings.domains)
            return backup.backup(built.context, plan).job

    lab.write("exams/a", "old")
    lab.write("profiles/a", "old")
    wrong = backed_up(timedelta(days=2))
    lab.rw("catalog", "rebuild")
    assert latest(lab) == {run.domain: run.snapshot for run in wrong.domains}
    lab.write("exams/a", "newer")
    right = backed_up(timedelta())
    known = latest(lab)
    assert known["exams"] == right.domains[0].snapshot
    for bare in (False, True):
        if bare:
            lab.copy_state_away()
        lab.rw("catalog", "rebuild")
        assert latest(lab) == known
        assert json.loads((lab.state / "latest_main.json").read_text())["job_id"] == right.id


class Slow:
    """Manifests that take so long to list that a backup ends meanwhile."""

    def __init__(self, manifests: Manifests, backup: Callable[[], object]) -> None:
        self._manifests, self._backup = manifests, backup

    def keys(self) -> Iterator[str]:
        found = list(self._manifests.keys())
        self._backup()
        return iter(found)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manifests, name)


def test_a_backup_meanwhile(twice: Lab) -> None:
    """What it wrote is still known after the rebuild, and is what the next one starts from."""

    def backup() -> None:
        twice.fill("exams", 1)
        twice.rw("backup", "--domain", "exams")

    with twice.house() as built:
        context = built.context
        rebuild(dataclasses.replace(context, manifests=cast(Manifests, Slow(context.manifests, backup))))
    newest = twice.json("snapshots", "--domain", "exams")
    assert complete(twice) == [True] * 4 and len(jobs(twice)) == 3
    assert latest(twice)["exams"] in {row["snapshot"]["original"] for row in newest}
    runs = twice.json("backup", "--domain", "exams")["job"]["domains"]
    assert (runs[0]["outcome"], runs[0]["snapshot"]) == ("unchanged", latest(twice)["exams"])


def test_a_snapshot_that_is_gone(twice: Lab) -> None:
    """A snapshot that somebody removed is forgotten, and is nobody's parent."""
    gone = latest(twice)["exams"]
    twice.bare("forget", gone)
    twice.rw("catalog", "rebuild")
    assert gone not in {row["snapshot"]["original"] for row in twice.json("snapshots")}
    assert latest(twice)["exams"] != gone and set(latest(twice)) == {"exams", "profiles"}
    assert twice.json("verify", "--share", "1")["ok"]


def test_a_pinned_repository_that_is_away(twice: Lab) -> None:
    """Cold not being there is a refusal: its pin stays, and nobody makes a new empty one in its place."""
    pins = (twice.state / "pins" / "main.json").read_text()
    cold = twice.store / twice.namespace / "cold"
    away = cold.rename(cold.with_name("away"))
    for command in (["catalog", "rebuild"], ["init"]):
        refused(twice, *command, code=10, kind="NoRepository")
    assert (twice.state / "pins" / "main.json").read_text() == pins and not cold.exists()
    away.rename(cold)
    twice.rw("catalog", "rebuild")
    assert (twice.state / "pins" / "main.json").read_text() == pins


def test_a_tier_that_is_not_pinned(twice: Lab) -> None:
    """A bare machine where cold is away knows hot alone, and says so when cold is asked for."""
    shutil.rmtree(twice.store / twice.namespace / "cold")
    twice.copy_state_away()
    run = twice.rw("catalog", "rebuild")
    assert "knows a cold repository" in run.err
    error = refused(twice, "verify", "--tier", "cold", code=10, kind="NoRepository")
    assert "cold" in error["message"] and "rw init" in error["hint"]


# What verifies found


def test_verifies_come_back(any_lab: Lab) -> None:
    """On a bare machine proofs, what was read back, and the verifies themselves are there again."""
    lab = any_lab
    lab.fill("exams", 2)
    lab.rw("backup")
    lab.rw("verify", "--share", "1/2")
    second = lab.json("verify", "--share", "1/2")

    def told() -> tuple[Any, ...]:
        proven = [(row["snapshot"]["id"], row["proven_at"]) for row in lab.json("snapshots")]
        with lab.house() as built:
            catalog = built.catalog
            verifies = [job.id for job in catalog.jobs("main", kind="verify")]
            return proven, verifies, catalog.reads("main", "hot"), lab.json("status")["tiers"]

    before = told()
    assert any(at for _, at in before[0]) and len(before[1]) == 2 and len(before[2]) == 256
    lab.copy_state_away()
    lab.rw("catalog", "rebuild")
    assert told() == before
    assert lab.json("verify", "--share", "1/2")["bucket"] != second["bucket"]


def test_a_verify_of_another_repository(twice: Lab) -> None:
    """A record of a repository that is not there any more proves nothing of the one that is; a damaged one is named."""
    twice.rw("verify")
    (record,) = twice.store.rglob("verify_record.json")
    text = record.read_text()
    record.chmod(0o600)
    twice.copy_state_away()
    record.write_text("noise")
    report = twice.json("catalog", "rebuild", code=3)
    assert record.parent.name in report["skipped"][0] and len(jobs(twice)) == 2
    repository = json.loads(text)["job"]["details"]["repository"]
    record.write_text(text.replace(repository, "f" * 64))
    twice.rw("catalog", "rebuild")
    assert not any(row["proven_at"] for row in twice.json("snapshots"))
    record.write_text(text)
    twice.rw("catalog", "rebuild")
    assert any(row["proven_at"] for row in twice.json("snapshots"))
