"""The server is gone: with an empty directory and the recovery kit as all that is left, everything comes back."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from resticwrap import errors
from resticwrap.bootstrap import House, elsewhere, sealing
from resticwrap.cancel import Cancel
from resticwrap.clock import FixedClock, SystemClock
from resticwrap.host.sealing import AgeSealing
from resticwrap.model.base import to_json
from resticwrap.model.kit import Kit
from resticwrap.report.progress import QuietWatcher
from resticwrap.services import audit, auditor, doctor, fetching, system
from resticwrap.services import kit as service
from resticwrap.services.place import Mark, Place, begin
from tests.broken import refused
from tests.conftest import MakeLab
from tests.handmade import cheap_age
from tests.integration.test_json_contract import ELSEWHERE, fits
from tests.lab import PASSWORD, Lab, tree

PHRASE = "eleven purple goats in a rowboat"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sealed inside this process opens in no time, by the very code that opens every other kit."""
    monkeypatch.setattr(AgeSealing, "seal", lambda _, plain, passphrase: cheap_age(plain, passphrase))


def phrase(lab: Lab, text: str = PHRASE) -> str:
    """A file with a passphrase, outside of the lab, which is going to be lost."""
    file = lab.folder.parent / f"phrase-{abs(hash(text))}"
    file.write_text(f"{text}\n")
    return str(file)


def bare(lab: Lab) -> dict[str, str]:
    """The environment of another machine: it has rw and restic."""
    home = lab.folder.parent / "home"
    home.mkdir(exist_ok=True)
    network = {
        name: value for name, value in lab.env.items() if "PROXY" in name.upper() or "CERT" in name or "CA_" in name
    }
    return {**network, "PATH": lab.env["PATH"], "HOME": str(home), "RW_RESTIC": str(lab.restic), "COLUMNS": "100"}


def lose_everything(lab: Lab) -> None:
    """State, cache, policies, data, password and every variable are gone."""
    for name in ("state", "cache", "policies", "data", "password"):
        path = lab.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    lab.env = bare(lab)


def test_the_server_is_gone(lab: Lab) -> None:
    """From a kit alone, by the commands as a person types them, byte for byte; P0 before P1; a second run finds what
    the first one did, and the installation that was laid down works."""
    lab.fill("exams", 4, 3000)
    lab.write("profiles/deep/anna.json", "1")
    lab.rw("backup")
    lab.write("profiles/deep/anna.json", "2")
    lab.rw("backup")
    kit = str(lab.folder.parent / "teaching.kit")
    report = lab.json("kit", "export", "--out", kit, "--passphrase-file", phrase(lab))
    fits(ELSEWHERE["kit export"], report, "kit export")
    page = Path(report["page"]).read_text()
    assert report["digest"] in page and report["repositories"]["hot"] in page
    assert PASSWORD not in page and PASSWORD.encode() not in Path(kit).read_bytes()
    assert Path(kit).stat().st_mode & 0o777 == 0o600
    before = tree(lab.data)
    lose_everything(lab)
    place = lab.folder.parent / "recovered"
    done: Any = None
    for again in (False, True):
        done = lab.json("kit", "restore", kit, "--to", str(place), "--passphrase-file", phrase(lab))
        fits(ELSEWHERE["kit restore"], done, "kit restore")
        assert tree(place / "system") == before
        assert [(one["domain"], one["priority"]) for one in done["domains"]] == [("exams", "P0"), ("profiles", "P1")]
        assert all(one["manifest"] and one["whole"] and one["resumed"] is again for one in done["domains"])
    for private in (place, place / "rw" / "secrets", place / "rw" / "state"):
        assert private.stat().st_mode & 0o077 == 0
    shell = f'. "{place}/rw/secrets/environment"; env'
    said = subprocess.run(["sh", "-c", shell], env=lab.env, capture_output=True, check=True).stdout.decode()
    lab.env = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert {row["domain"] for row in lab.json("history")["rows"] if row["kind"] == "backup"} == {"exams", "profiles"}
    homewards = [step for step in done["next"] if " mv " in step]
    subprocess.run(["sh", "-ec", "\n".join(homewards)], check=True)
    assert len(homewards) == 2 and tree(lab.data) == before


@pytest.mark.parametrize("kind", ["s3", "oss"])
def test_the_server_is_gone_and_the_bucket_is_left(make_lab: MakeLab, kind: str, tmp_path: Path) -> None:
    """The kit has what lets into the bucket; its page and what is shown of it have no secret."""
    lab = make_lab(kind)
    lab.fill("exams", 4, 3000)
    lab.write("profiles/deep/anna.json", "1")
    lab.rw("backup")
    file, before, clock = tmp_path / "a.kit", tree(lab.data), SystemClock()
    with lab.house() as built:
        report = service.export(built.context, file, PHRASE)
        sealing = built.recovery.sealing()
    assert report.credentials == "included"
    secrets = [PASSWORD, *(value for name, value in lab.env.items() if "SECRET" in name)]
    for secret in secrets:
        assert len(secrets) > 1 and secret not in Path(report.page).read_text() + repr(report)
    lose_everything(lab)

    def other_machine(kit: Kit, root: Path) -> Any:
        return elsewhere(kit, root, lab.env, watcher=QuietWatcher(), cancel=Cancel(), clock=clock)

    kit = service.opened(sealing, file, PHRASE)
    done = system.restore(kit, tmp_path / "place", system.Wanted(declared=clock.now()), other_machine, clock)
    assert done.ok and tree(tmp_path / "place" / "system") == before
    assert all(one.manifest and one.rpo is not None and one.rpo >= 0 for one in done.domains)


def test_a_kit_that_refers_to_credentials(lab: Lab, tmp_path: Path) -> None:
    """The variables that it names are taken from the environment, be it by their files, and no others."""
    with lab.house() as built:
        kit = msgspec.structs.replace(service.gather(built.context), needs=("STORE_ID", "STORE_KEY"))
    env = {**lab.env, "STORE_ID": "me", "STORE_KEY_FILE": "/run/secrets/key", "ANOTHER_FILE": "/etc/passwd"}
    now = SystemClock().now()
    begin(Place(tmp_path / "place"), kit, Mark(target="main", repositories={}, declared_at=now, begun_at=now))
    with elsewhere(kit, tmp_path / "place", env, watcher=QuietWatcher(), cancel=Cancel(), clock=SystemClock()) as there:
        found = there.settings.env
    assert (found["STORE_ID"], found["STORE_KEY_FILE"]) == ("me", "/run/secrets/key") and "ANOTHER_FILE" not in found


def test_a_kit_that_is_none(lab: Lab, tmp_path: Path) -> None:
    """A weak passphrase, a wrong one, a file cut short, one that is no kit: each is told apart, and nothing is laid
    down; a kit is not written over unasked."""
    lab.fill("exams", 1)
    kit, place = tmp_path / "a.kit", tmp_path / "place"
    weak = phrase(lab, "too short")
    refused(lab, "kit", "export", "--out", str(kit), "--passphrase-file", weak, code=2, kind="UsageError")
    assert not kit.exists()
    with lab.house() as built:
        kit.write_bytes(b"something")
        with pytest.raises(errors.UsageError, match="there already"):
            service.export(built.context, kit, PHRASE)
        sealing = built.recovery.sealing()
        whole = sealing.seal(to_json(service.gather(built.context)), PHRASE)
    for content, said, error in (
        (whole, "a wrong passphrase of some length", errors.WrongPassword),
        (whole[:-40], PHRASE, errors.Damaged),
        (b"PK" + whole, PHRASE, errors.Damaged),
        (b"", PHRASE, errors.Damaged),
    ):
        kit.write_bytes(content)
        with pytest.raises(error):
            service.opened(sealing, kit, said)
    arguments = ("kit", "restore", str(kit), "--to", str(place), "--passphrase-file", phrase(lab))
    refused(lab, *arguments, code=20, kind="Damaged")
    assert not place.exists()


def test_a_kit_that_does_not_open_replaces_none(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not give back what was written to it costs no kit that was good."""
    file = lab.folder / "teaching.kit"
    with lab.house() as built:
        sealing = built.context.recovery.sealing()
        service.export(built.context, file, service.generate())
        before = file.read_bytes()
        monkeypatch.setattr(type(sealing), "open", lambda *_: b"another")
        with pytest.raises(errors.VerifyFailed):
            service.export(built.context, file, service.generate(), force=True)
    assert file.read_bytes() == before and not list(lab.folder.glob(".teaching*"))


def test_goes_on_after_a_kill(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the second domain comes back: the same command goes on, touches nothing that was back, and all is
    there. A folder with anything else in it is refused, and a kit of another repository restores nothing."""
    lab.fill("exams", 2)
    lab.write("profiles/anna.json", "1")
    lab.rw("backup")
    place = tmp_path / "place"
    with lab.house() as built:
        context = built.context
        kit, wanted = service.gather(context), system.Wanted(declared=built.clock.now())

        def restore(kit: Any = kit, place: Path = place) -> Any:
            return system.restore(kit, place, wanted, context.recovery.elsewhere, built.clock)

        real = fetching.fetch_and_check

        def dies(context: Any, choice: Any, stage: Path, **more: Any) -> Any:
            if choice.domain == "profiles":
                stage.mkdir()
                (stage / "half").write_text("half")
                raise KeyboardInterrupt
            return real(context, choice, stage, **more)

        monkeypatch.setattr(system, "fetch_and_check", dies)
        with pytest.raises(KeyboardInterrupt):
            restore()
        monkeypatch.setattr(system, "fetch_and_check", real)
        (place / "system/exams/made_by_the_system").write_text("work")
        (place / "rw/policies/gates.yaml").write_text("gates: {backup_within: 12h}\n")
        report = restore()
        assert report.ok and [one.resumed for one in report.domains] == [True, False]
        assert "12h" in (place / "rw/policies/gates.yaml").read_text()
        (place / "system/exams/made_by_the_system").unlink()
        assert tree(place / "system") == tree(lab.data)
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "mine").write_text("mine")
        with pytest.raises(errors.RestoreRefused):
            restore(place=tmp_path / "full")
        other = msgspec.structs.replace(kit.pins["hot"], repository_id="f" * 64, config_digest="e" * 64)
        with pytest.raises(errors.OtherRepository):
            restore(msgspec.structs.replace(kit, pins={**kit.pins, "hot": other}), tmp_path / "other")
        assert not any((tmp_path / "other" / "system").iterdir())


def test_a_kit_remembers_the_evidence(lab: Lab, tmp_path: Path) -> None:
    """What was cut off since it was made is found by it alone; a kit of another target is refused."""
    kit, asked = tmp_path / "a.kit", ("audit", "verify", "--manifests", "none", "--passphrase-file", phrase(lab))
    with lab.house() as built:
        assert audit.record(built.context, "gate", {"open": True}) is None
        service.export(built.context, kit, PHRASE)
        made = service.opened(sealing(), kit, PHRASE)
        with pytest.raises(errors.UsageError, match="of target other"):
            auditor.verify(built.context, kits=[msgspec.structs.replace(made, target="other")])
    for record in (1, 2):  # the event that the kit knows, and the kit's own
        next(lab.store.rglob(f"evidence/*/{record:08d}.json")).unlink()
    lab.copy_state_away()
    with lab.house() as built:
        assert auditor.verify(built.context, manifests=0).ok
    report = lab.json(*asked, "--kit", str(kit), code=20)
    assert [one["kind"] for one in report["findings"]] == ["cut"] and "the kit of" in report["findings"][0]["message"]
    refused(lab, *asked, code=2, kind="UsageError")


def test_a_kit_grows_old(lab: Lab, tmp_path: Path) -> None:
    """None, one that is too old, policies and keys that changed since: each is a reason, and doctor says it."""

    def stale(built: House) -> tuple[str, ...]:
        return service.state_of(built.records).stale

    with lab.house() as built:
        assert stale(built) == ("no recovery kit was made here",)
        service.export(built.context, tmp_path / "a.kit", PHRASE)
        assert service.examined(built.context).ok
    with lab.house(FixedClock(datetime.now(UTC) + timedelta(days=91))) as built:
        assert stale(built) == ("the kit is 91 days old",)
    lab.domains["profiles"]["priority"] = "P2"
    lab.write_policies()
    with lab.house() as built:
        assert stale(built) == ("the policies were changed since",)
        service.outdate(built.context, "keys were added")
        assert stale(built)[-1] == "the policies were changed since" and len(stale(built)) == 2
        check = doctor.recovery_kit(service.examined(built.context), "main")
    assert check.verdict == "warn" and "keys were added" in check.detail and "rw kit export" in check.hint
