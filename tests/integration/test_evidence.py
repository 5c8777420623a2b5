"""The chain of evidence in a real target: what is told is kept, what is cut or rewritten is found."""

import contextlib
import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from resticwrap import errors
from resticwrap.model.audit import AuditReport
from resticwrap.model.base import from_json
from resticwrap.model.drill import DrillDetails, drill_details
from resticwrap.model.evidence import Evidence
from resticwrap.model.policy import VerifyRule
from resticwrap.model.reports import BackupReport
from resticwrap.ports import StateFiles, Store
from resticwrap.services import audit, auditor, backup, pins
from resticwrap.services.context import Context
from resticwrap.services.rebuild import rebuild
from resticwrap.services.verify import verify
from tests.conftest import MakeLab
from tests.lab import RAW, Lab


@contextmanager
def context_of(lab: Lab) -> Iterator[Context]:
    with lab.house() as built:
        yield built.context


def backed_up(lab: Lab) -> BackupReport:
    with lab.house() as built:
        plan = backup.plan(built.context, "incremental", built.settings.domains)
        return backup.backup(built.context, plan)


def records(lab: Lab) -> list[Path]:
    """The files of all chains in a local target."""
    return sorted((lab.store / "backups" / lab.namespace / "evidence").rglob("*.json"))


def events(lab: Lab) -> list[str]:
    """The kinds of what is in the one chain there, in order."""
    return [from_json(Evidence, file.read_bytes()).event.kind for file in records(lab)]


def numbers(context: Context) -> list[int | None]:
    """What the events of the one chain there bear, in order; the genesis bears none."""
    return [one.event.body.get("number") for one in sorted(auditor.stored(context), key=lambda one: one.seq)]


def audited(lab: Lab, **more: Any) -> AuditReport:
    with context_of(lab) as context:
        return auditor.verify(context, **more)


def kinds(report: AuditReport) -> set[str]:
    return {finding.kind for finding in report.findings}


class Dying:
    """A store or a state directory that is gone at the chosen step, before or after it was done."""

    def __init__(self, real: Any, name: str, *, after: bool, error: type[BaseException] = SystemExit) -> None:
        self._real, self._name, self._after, self._error, self.died = real, name, after, error, False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name != self._name or self.died:
            return found

        def call(*arguments: Any, **more: Any) -> Any:
            self.died = True
            if self._after:
                with contextlib.suppress(errors.Failure):
                    found(*arguments, **more)
            raise self._error("Gone at this step.")

        return call


def test_a_crash_at_any_step_loses_and_doubles_nothing(lab: Lab) -> None:
    """The next event comes to the chain behind the one that the crash left, in a chain that holds; there is one chain
    and one genesis. What was not yet kept anywhere when it died is the one thing that is lost."""
    for step in ("put", "put_chain", "arrived", "wait"):
        for after in (False, True):
            _anew(lab)
            with context_of(lab) as context:
                for number in (1, 2):  # the first event of a chain, and one of a chain that has begun
                    if step == "put":
                        broken = dataclasses.replace(
                            context, store=cast(Store, Dying(context.store, step, after=after))
                        )
                    else:
                        state = cast(StateFiles, Dying(context.state, step, after=after))
                        broken = dataclasses.replace(context, state=state)
                    with pytest.raises(SystemExit):
                        audit.record(broken, "gate", {"number": number})
                audit.record(context, "gate", {"number": 3})
                assert context.state.waiting("main") == []
                lost = (step, after) == ("wait", False)
                assert numbers(context) == ([None, 3] if lost else [None, 1, 2, 3]), (step, after)
                assert auditor.verify(context, manifests=0).ok
            assert len({file.parent for file in records(lab)}) == 1


def _anew(lab: Lab) -> None:
    """As if no evidence had ever been."""
    for file in [*records(lab), *(lab.state / "evidence").rglob("*.json"), *lab.state.glob("catalog.sqlite*")]:
        file.unlink()


def test_a_lost_answer_and_a_full_disk(lab: Lab) -> None:
    """A record that was written though no answer came is not written twice. Where the state directory is full, the
    target has it, and the next job of this machine goes on behind it."""
    with context_of(lab) as context:
        lost = Dying(context.store, "put", after=True, error=errors.TargetUnreachable)
        assert audit.record(dataclasses.replace(context, store=cast(Store, lost)), "gate", {"number": 1}) is None
        full = Dying(context.state, "wait", after=False, error=errors.DiskFull)
        assert audit.record(dataclasses.replace(context, state=cast(StateFiles, full)), "gate", {"number": 2}) is None
        fuller = Dying(full, "put_chain", after=False, error=errors.DiskFull)
        full.died = False
        assert audit.record(dataclasses.replace(context, state=cast(StateFiles, fuller)), "gate", {"number": 3}) is None
        audit.record(context, "gate", {"number": 4})
        assert numbers(context) == [None, 1, 2, 3, 4]
        assert auditor.verify(context).ok


@pytest.mark.parametrize("kind", ["s3", "oss"])
def test_two_machines_of_one_state_race(make_lab: MakeLab, kind: str) -> None:
    """A cloned state directory writes the same chain: each number once, nothing lost, nothing doubled."""
    lab = make_lab(kind)
    with context_of(lab) as context:
        audit.record(context, "gate", {"number": -1})
        lab.state.with_name("twin").mkdir()
        twin = Lab(lab.folder, lab.restic, lab.target, {**lab.env, "RW_STATE_DIR": str(lab.folder / "twin")})
        twin.env["RW_STATE_DIR"] = str(lab.folder / "twin")
        _copy(lab.state, lab.folder / "twin")
        with twin.house() as built:
            said: list[str | None] = []

            def write(one: Context, first: int) -> None:
                said.extend(audit.record(one, "gate", {"number": first + number}) for number in range(3))

            both = [
                threading.Thread(target=write, args=pair) for pair in ((context, 0), (built.context, 10))
            ]  # fmt: skip
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
            assert said == [None] * 6
            audit.record(context, "gate", {"number": 20})
            found = numbers(context)
            assert found[0] is None and sorted(number for number in found if number is not None) == [
                -1, 0, 1, 2, 10, 11, 12, 20
            ]  # fmt: skip
            assert auditor.verify(context).ok


def _copy(state: Path, twin: Path) -> None:
    for file in state.rglob("*"):
        if file.is_file() and ".sqlite" not in file.name:
            (twin / file.relative_to(state)).parent.mkdir(parents=True, exist_ok=True)
            (twin / file.relative_to(state)).write_bytes(file.read_bytes())


def test_a_target_that_is_down_for_days(lab: Lab) -> None:
    """Evidence waits, and the next job of that target brings it there; where nothing waits, nothing is asked."""
    lab.write("exams/a", "a")
    with context_of(lab) as context:
        down = Dying(context.store, "list", after=False, error=errors.TargetUnreachable)
        why = audit.record(dataclasses.replace(context, store=cast(Store, down)), "gate", {"number": 1})
        assert why is not None and "waits" in why
        assert audited(lab).waiting == 1
    backed_up(lab)
    assert events(lab) == ["genesis", "gate"]
    with context_of(lab) as context:
        deaf = dataclasses.replace(context, store=cast(Store, object()))
        assert audit.settle(deaf) is None


def test_cut_edited_and_state_lost(lab: Lab) -> None:
    """The catalogue knows what was cut; without catalogue and state the manifests do; and the chain that such a machine
    begins names the old one, so that a later cut is found by it as well."""
    lab.write("exams/a", "a")
    for number in range(3):
        with context_of(lab) as context:
            audit.record(context, "gate", {"number": number})
        lab.write("profiles/b", str(number))
        backed_up(lab)
    assert audited(lab).ok
    files = records(lab)
    last, middle = files[3].read_bytes(), files[2].read_bytes()
    files[3].unlink()
    found = audited(lab)
    assert (kinds(found), found.ok, found.findings[0].seq) == ({"cut"}, False, 3)
    assert "the state directory" in found.findings[0].message and "the catalogue" in found.findings[0].message
    run = lab.rw("audit", "verify", code=20)
    assert "DOES NOT HOLD" in run.out and "Record 3 is gone from the end" in run.out
    files[3].write_bytes(last)
    files[2].write_bytes(middle.replace(b'"number":1', b'"number":7'))
    found = audited(lab)
    assert kinds(found) == {"broken", "rewritten"} and {one.seq for one in found.findings} == {2, 3}
    files[2].write_bytes(middle)
    head = files[3].stem, audit.digest_of(last)
    (lab.state / "catalog.sqlite").unlink()
    for file in (lab.state / "evidence").iterdir():
        if file.is_file():
            file.unlink()
    files[3].unlink()
    found = audited(lab)
    assert kinds(found) == {"cut"} and "the manifest snapshot_" in found.findings[0].message
    assert audited(lab, manifests=0).ok  # nobody who was asked knows, and the report says so
    assert any("cannot be told" in note for note in audited(lab, manifests=0).notes)
    run = lab.rw("audit", "verify", "--manifests", "none", "--head", f"{files[3].parent.name}:3:{head[1]}", code=20)
    assert "the head that was given" in run.out
    files[3].write_bytes(last)
    with context_of(lab) as context:
        audit.record(context, "gate", {"number": 9})
    assert len({file.parent for file in records(lab)}) == 2 and audited(lab, manifests=0).ok
    files[3].unlink()
    assert "the genesis of chain" in audited(lab, manifests=0).findings[0].message


def test_what_does_not_follow_is_never_written_over(lab: Lab) -> None:
    """Somebody put another record under the next number: it stays, ours waits and says why."""
    with context_of(lab) as context:
        audit.record(context, "gate", {"number": 1})
        strange = records(lab)[0].with_name("00000002.json")
        strange.write_bytes(records(lab)[0].read_bytes())
        why = audit.record(context, "gate", {"number": 2})
        assert why is not None and "does not follow" in why and "rw audit verify" in why
        assert strange.read_bytes() == records(lab)[0].read_bytes()
        report = auditor.verify(context)
        assert (report.ok, report.waiting) == (False, 1)


def test_a_state_directory_out_of_a_backup(lab: Lab) -> None:
    """Its head is behind the target: it goes on at the end, and writes nothing twice."""
    with context_of(lab) as context:
        audit.record(context, "gate", {"number": 0})
        chain = context.state.chain("main")
        assert chain is not None
        waited = [audit.note(context, "gate", {"number": number}) for number in (1, 2)]
        audit.settle(context)
        context.state.put_chain("main", chain)
        for event in waited:
            context.state.wait("main", event)
        audit.record(context, "gate", {"number": 3})
        assert numbers(context) == [None, 0, 1, 2, 3]


def test_verify_is_evidence_and_comes_back(lab: Lab) -> None:
    """Without a name of a file; and a bare machine gets evidence and drills back out of the target."""
    lab.write("exams/secret_name", "a")
    backed_up(lab)
    with context_of(lab) as context:
        verify(context, "hot", VerifyRule(share="1", sample=2), (), 1)
        job = context.new_job("drill")
        details = DrillDetails(level="l1", repository=context.pins()["hot"].repository_id, seconds=3.0)
        body = {key: value for key, value in details.builtins().items() if key != "sample"}
        times = {"started_at": job.started_at.isoformat(), "finished_at": job.started_at.isoformat()}
        audit.record(context, "drill", {**body, "outcome": "ok", **times}, job=job.id)
    assert events(lab) == ["genesis", "verify", "drill"]
    assert not any(b"secret_name" in file.read_bytes() for file in records(lab))
    lab.copy_state_away()
    with context_of(lab) as context:
        report = rebuild(context)
        assert report.evidence == 3 and not report.skipped
        found = context.catalog().job(job.id)
        assert found is not None and (found.kind, found.outcome) == ("drill", "ok")
        again = drill_details(found)
        assert again is not None and again.seconds == 3.0
        assert rebuild(context).evidence == 3
    shown = lab.json("audit", "log")
    assert {(one["seq"], one["event"]["kind"]) for one in shown} == {(0, "genesis"), (1, "verify"), (2, "drill")}
    page = lab.folder / "audit.html"
    lab.rw("audit", "export", "--format", "html", "--out", str(page))
    text = page.read_text()
    assert "The chains of evidence hold." in text and "http" not in text and "<script" not in text
    assert text.count("<tr>") >= 5 and "@page" in text


# Raw domains only grow.


@pytest.fixture
def raw(lab: Lab) -> Lab:
    """Three objects of an append-only domain, backed up once."""
    lab.domains = {"exams": lab.files("exams", RAW)}
    lab.write_policies()
    for name in ("a", "b", "c"):
        lab.write(f"exams/{name}", name)
    backed_up(lab)
    return lab


def test_a_raw_object_that_changed_keeps_its_snapshot(raw: Lab) -> None:
    """It is told once, by name here and without any in the target; forget leaves the snapshot that still has it, until
    somebody has looked at it."""
    raw.write("exams/a", "changed")
    (raw.data / "exams" / "b").rename(raw.data / "exams" / "renamed")
    (raw.data / "exams" / "c").touch()
    report = backed_up(raw)
    (run,) = report.job.domains
    assert (run.raw_changed, run.raw_removed, run.raw) == (1, 1, ("exams/a", "exams/b"))
    (warning,) = report.warnings
    assert "1 object changed and 1 object disappeared" in warning and "exams/a, exams/b" in warning
    assert report.job.outcome == "ok"
    assert all(b"exams/a" not in file.read_bytes() for file in [*records(raw), *raw.manifests()])
    assert [one["run"]["raw_changed"] for one in json.loads(raw.manifests()[-1].read_bytes())["domains"]] == [1]
    assert events(raw) == ["genesis", "raw_changed"]
    for _ in range(2):  # once per change, and growing is right
        raw.write("exams/new", "new")
        assert backed_up(raw).warnings == ()
    assert events(raw) == ["genesis", "raw_changed"]
    tiers = raw.folder / "policies" / "tiers.yaml"
    tiers.write_text("tiers:\n  hot: {days: 1, keep: {last: 1}}\n  cold: {days: 2, keep: {daily: 1}}\n")
    raw.json("forget")
    left = [row["snapshot"]["original"] for row in raw.json("snapshots")]
    assert run.parent in left
    (pin,) = raw.json("pin", "--list")["pins"]
    assert (pin["kind"], pin["snapshots"]) == ("raw", [run.parent]) and "1 object changed" in pin["reason"]
    with context_of(raw) as context:
        pins.unpin(context, pin["id"])
        job = context.catalog().job(report.job.id)
        assert job is not None
        from resticwrap.services import raw as service

        service.keep(context, job)  # again, as after a crash: what was released stays released
        assert not any(one.holds(context.clock.now()) for one in pins.pins(context))


def test_a_policy_that_changed_is_called_that(raw: Lab) -> None:
    raw.domains["exams"]["excludes"] = ["b"]
    raw.write_policies()
    (warning,) = backed_up(raw).warnings
    assert "the policy's excludes changed, which may be why" in warning and "disappeared" in warning
    raw.write("exams/a", "x")
    (warning,) = backed_up(raw).warnings
    assert "policy" not in warning


def test_a_pin_that_the_target_refuses_is_no_failed_backup(raw: Lab) -> None:
    """The catalogue keeps the snapshot then, and a person is told."""
    (raw.data / "exams" / "a").unlink()
    with raw.house() as built:
        plan = backup.plan(built.context, "incremental", built.settings.domains)
        refusing = _refusing(built.context, lambda key: "/pins/" in key)
        report = backup.backup(refusing, plan)
        assert report.job.outcome == "ok" and "in the catalogue alone" in report.warnings[0]
        (pin,) = built.context.catalog().pins("main")
        assert pin.kind == "raw"


def test_a_crash_before_the_pin_loses_no_pin(raw: Lab) -> None:
    """The next start makes it before anything compares with the newer snapshot."""
    (raw.data / "exams" / "a").unlink()
    with raw.house() as built:
        plan = backup.plan(built.context, "incremental", built.settings.domains)
        dying = _refusing(built.context, lambda key: "/pins/" in key, SystemExit)
        with pytest.raises(SystemExit):
            backup.backup(dying, plan)
    assert backed_up(raw).warnings == ()
    (pin,) = raw.json("pin", "--list")["pins"]
    assert pin["kind"] == "raw" and events(raw) == ["genesis", "raw_changed"]


def _refusing(
    context: Context, refused: Callable[[str], bool], error: type[BaseException] = errors.TargetRefused
) -> Context:
    class Refusing:
        def put(self, key: str, *arguments: Any, **more: Any) -> None:
            if refused(key):
                raise error("The bucket refuses this.")
            context.store.put(key, *arguments, **more)

        def __getattr__(self, name: str) -> Any:
            return getattr(context.store, name)

    return dataclasses.replace(context, store=cast(Store, Refusing()))
