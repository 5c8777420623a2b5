"""What a backup that crashed had done by then counts, whichever command comes next and wherever that one dies."""

import dataclasses
from typing import Any, cast

import msgspec
import pytest

from resticwrap import errors
from resticwrap.model.job import Job
from resticwrap.ports import StateFiles
from resticwrap.services import interrupted, manifest
from resticwrap.services.context import Context
from tests.lab import Lab

READ = 3 << 30


@pytest.fixture
def crashed(lab: Lab) -> Lab:
    """A backup, and the record of another one that a crash left open after it had read 3 GiB."""
    lab.fill("exams", 2)
    lab.rw("backup")
    with lab.house() as built:
        context = built.context
        job = context.new_job("backup", "incremental")
        context.recorder.open(msgspec.structs.replace(job, lease="gone", bytes_done=READ))
    return lab


def unindexed(lab: Lab) -> int:
    with lab.house() as built:
        latest = built.context.latest()
        assert latest is not None
        return latest.unindexed


def open_jobs(lab: Lab) -> list[Job]:
    with lab.house() as built:
        return [job for job in built.state.spooled() if job.outcome == "running"]


def test_a_verify_after_it(crashed: Lab) -> None:
    """What the job may have uploaded is still known, and the next backup makes it count."""
    crashed.rw("verify")
    assert not open_jobs(crashed) and unindexed(crashed) == READ
    assert "repair index" in crashed.rw("backup").err
    assert unindexed(crashed) == 0


class Full:
    """A state directory that takes no more of one thing."""

    def __init__(self, state: StateFiles, what: str) -> None:
        self._state, self._what = state, what

    def __getattr__(self, name: str) -> Any:
        return self._no_room if name == self._what else getattr(self._state, name)

    def _no_room(self, *_: object) -> None:
        raise errors.DiskFull("There is no room left.")


@pytest.mark.parametrize("what", ["put_latest", "spool"])
def test_an_end_in_between(crashed: Lab, what: str) -> None:
    """The record is closed last; until then the next start does it all again, and counts nothing twice."""
    with crashed.house() as built:
        full = cast(StateFiles, Full(built.state, what))
        context = dataclasses.replace(built.context, state=full)
        context = dataclasses.replace(context, recorder=type(context.recorder)(full, context.catalog))
        with pytest.raises(errors.DiskFull):
            interrupted.close(context)
    assert len(open_jobs(crashed)) == 1
    crashed.rw("verify")
    assert not open_jobs(crashed) and unindexed(crashed) == READ


def test_killed_after_its_manifest_was_written(lab: Lab) -> None:
    """The manifest that a job wrote just before it died stays, and no other stands in the way of what comes next."""
    lab.fill("exams", 2)
    job = lab.json("backup")["job"]
    with lab.house() as built:
        context = built.context
        recorded = context.catalog().job(job["id"])
        assert recorded is not None
        context.state.spool(msgspec.structs.replace(recorded, outcome="running", finished_at=None, lease="gone"))
    assert lab.json("backup")["warnings"] == []
    with lab.house() as built:
        assert manifest.load(built.context, job["id"]).outcome == "ok"
        assert not built.state.kept("main")


def test_a_manifest_that_waits_stays(lab: Lab) -> None:
    """What is made of a job's remains does not take the place of its own."""
    lab.fill("exams", 2)
    job = lab.json("backup")["job"]
    with lab.house() as built:
        context: Context = built.context
        own = manifest.load(context, job["id"])
        context.state.keep(own)
        recorded = context.catalog().job(job["id"])
        assert recorded is not None
        context.state.spool(msgspec.structs.replace(recorded, outcome="running", finished_at=None, lease="gone"))
        interrupted.close(context)
        assert list(context.state.kept("main")) == [own]
