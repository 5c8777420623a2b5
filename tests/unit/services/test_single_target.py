"""One target for each job: no other is built, asked or written, and the switch cannot be turned off."""

from collections.abc import Mapping

import pytest
import yaml

from resticwrap import bootstrap, errors
from resticwrap.clock import Clock
from resticwrap.model.policy import Target
from resticwrap.ports import TargetStore
from resticwrap.storage import open_store
from tests.lab import Lab

OTHERS = {
    "beside": {"provider": "local", "path": "{folder}/beside"},
    "away": {"provider": "s3", "bucket": "never-asked", "endpoint": "http://127.0.0.1:9", "region": "x",
             "credentials": {"access_key_id": "${NOT_SET}", "secret_access_key": "${NOT_SET}"}},
}  # fmt: skip


@pytest.fixture
def many(lab: Lab) -> Lab:
    """A lab whose policy has two more targets; one of them cannot even be used."""
    others = yaml.safe_load(yaml.safe_dump(OTHERS).replace("{folder}", str(lab.folder)))
    file = lab.folder / "policies" / "targets.yaml"
    file.write_text(yaml.safe_dump({"default": "main", "targets": {"main": lab.target, **others}}))
    return lab


def test_only_the_wanted_client_is_built(many: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many targets the policy has."""
    opened: list[str] = []

    def opening(target: Target, env: Mapping[str, str], clock: Clock) -> TargetStore:
        opened.append(target.provider)
        return open_store(target, env, clock)

    monkeypatch.setattr(bootstrap, "open_store", opening)
    with many.house() as house:
        assert opened == []
        assert house.context.store is house.store
    assert opened == ["local"]


def test_a_job_that_fails_goes_nowhere_else(many: Lab) -> None:
    """The wanted target is gone: the job fails with its code, and no other target was touched."""
    many.write("exams/a", "a")
    many.rw("backup")
    many.store.rename(many.store.with_name("unplugged"))
    assert many.rw("backup", code=None).code in (errors.NO_REPOSITORY, errors.UNREACHABLE)
    assert not (many.folder / "beside").exists()


@pytest.mark.parametrize("value", ["0", "false", "no"])
def test_it_cannot_be_turned_off(value: str, lab: Lab) -> None:
    """Set to anything but 1 it is a policy error, and nothing is done."""
    failed = lab.json("backup", env={"BACKUP_SINGLE_TARGET_ENFORCED": value}, code=2)
    assert failed["error"]["kind"] == "PolicyError" and "BACKUP_SINGLE_TARGET_ENFORCED" in failed["problems"][0]
