"""Keys and their exchange: whatever happens on the way, a password that opens both repositories lies on the disk."""

import dataclasses
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import yaml

from resticwrap import errors
from resticwrap.bootstrap import House
from resticwrap.model.job import Pin
from resticwrap.model.kit import KitRecord, RepositoryKey
from resticwrap.ports import Repository
from resticwrap.services import keys
from resticwrap.services.context import Context
from tests.lab import PASSWORD, Lab


def test_rotate(lab: Lab) -> None:
    """The new password opens both, the old one neither; the evidence says so, and the last kit is out of date."""
    with lab.house() as built:
        context = built.context
        names = ("file", "digest", "policies", "salt", "variables", "password", "credentials")
        known = {"exported_at": context.clock.now(), "repositories": {}, "keys": {}, **dict.fromkeys(names, "")}
        context.state.put_kit("main", msgspec.convert(known, KitRecord))
        report = keys.rotate(context)
        password = (lab.folder / "password").read_text().strip()
        assert password != PASSWORD and (lab.folder / "password").stat().st_mode & 0o777 == 0o600
        assert [path.name for path in lab.folder.glob("password*")] == ["password"]
        assert [(key.tier, key.current) for key in report.keys] == [("hot", True), ("cold", True)]
        assert set(report.added) == set(report.removed) == {"hot", "cold"}
        with pytest.raises(errors.WrongPassword):
            context.hot.list_keys(PASSWORD)
        (event,) = [one.event for one in built.catalog.evidence("main", kind="key")]
        assert event.body["action"] == "rotated" and password not in str(event.body)
        after = context.state.kit("main")
        assert after is not None and "keys were rotated" in after.outdated[0]
    lab.rw("backup", "--dry-run")


def test_beside_a_command(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the password comes from a variable both open, and a person removes the old keys; never the current one."""
    del lab.env["RESTIC_PASSWORD_FILE"]
    lab.env["RESTIC_PASSWORD"] = PASSWORD
    (lab.folder / "second").write_text("a second password\n")
    with lab.house() as built:
        context, pair = _faked(built, lambda: None)
        with pytest.raises(errors.UsageError, match="command or a variable"):
            keys.rotate(context)
        report = keys.rotate(context, lab.folder / "second")
        assert len(report.keys) == 4 and not report.removed and "rw key remove" in report.notes[0]
        (old,) = [key.id for key in report.keys if key.current and key.tier == "hot"]
        with pytest.raises(errors.UsageError, match="opens"):
            keys.remove(context, old)
        assert PASSWORD in pair[0].passwords.values()
        (new,) = [key.id for key in report.keys if not key.current and key.tier == "hot"]
        monkeypatch.setattr(pair[0], "own", "a second password")
        monkeypatch.setattr(pair[1], "own", "a second password")
        assert keys.remove(context, old).removed == {"hot": (old,)}
        with pytest.raises(errors.UsageError, match="opens"):
            keys.remove(context, new)


def test_a_file_of_two_targets(lab: Lab) -> None:
    """A password file that opens another target's repositories too is not exchanged: that one would be locked out."""
    policy = lab.folder / "policies" / "targets.yaml"
    known = yaml.safe_load(policy.read_text())
    known["targets"]["second"] = {**lab.target, "path": str(lab.folder / "second")}
    policy.write_text(yaml.safe_dump(known))
    with lab.house() as built:
        context, pair = _faked(built, lambda: None)
        context.state.put_pins("second", context.pins())
        with pytest.raises(errors.UsageError, match="target second too"):
            keys.rotate(context)
        assert (lab.folder / "password").read_text().strip() == PASSWORD
        assert [len(one.passwords) for one in pair] == [1, 1]
    (lab.folder / "copy").write_text(PASSWORD)
    known["targets"]["second"]["password_file"] = str(lab.folder / "copy")
    policy.write_text(yaml.safe_dump(known))
    with lab.house() as built:
        context, pair = _faked(built, lambda: None)
        assert keys.rotate(context).removed


class Died(BaseException):
    """As a SIGKILL: nothing of ours is run after it but what a `finally` would do, which must not matter."""


class Keys:
    """A repository's keys in memory, which dies when it is told to. The part of Repository that keys need."""

    def __init__(self, tier: str, real: Repository, dies: Callable[[], None]) -> None:
        self.tier, self._real, self._dies = tier, real, dies
        self.passwords = {secrets.token_hex(32): PASSWORD}
        self.own = PASSWORD

    def config_digest(self) -> str:
        return self._real.config_digest()

    def config(self) -> Pin:
        return self._real.config()

    def list_keys(self, password: str | None = None) -> Sequence[RepositoryKey]:
        password = password or self.own
        if password not in self.passwords.values():
            raise errors.WrongPassword("no")
        return [
            RepositoryKey(tier=cast(Any, self.tier), id=key, user="", host="", created="", current=own == password)
            for key, own in self.passwords.items()
        ]

    def add_key(self, new: str, password: str | None = None) -> str:
        assert (password or self.own) in self.passwords.values()
        self._dies()
        key = secrets.token_hex(32)
        self.passwords[key] = new
        self._dies()
        return key

    def remove_key(self, key: str, password: str | None = None) -> None:
        assert (password or self.own) in [own for one, own in self.passwords.items() if one != key], (
            "restic refuses the current one"
        )
        self._dies()
        self.passwords.pop(key, None)
        self._dies()


def test_killed_between_any_two_steps(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a loop over all steps: the password file opens both repositories at any moment, and the same command ends the
    rotation with one key in each."""
    file = lab.folder / "password"
    left = [0]

    def dies() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Died

    def before_and_after(call: Any) -> Any:
        def wrapped(*arguments: Any, **more: Any) -> Any:
            ours = any(str(file) in str(argument) for argument in arguments)
            if ours:
                dies()
            result = call(*arguments, **more)
            if ours:
                dies()
            return result

        return wrapped

    for name in ("link", "rename", "unlink"):
        monkeypatch.setattr(os, name, before_and_after(getattr(os, name)))
    with lab.house() as built:
        for step in range(1, 100):
            file.write_text(PASSWORD)
            left[0] = step
            context, pair = _faked(built, dies)
            try:
                keys.rotate(context)
            except Died:
                left[0] = 0
                assert _opens(file, pair)
                keys.rotate(context)
                assert _opens(file, pair)
                assert all(len(one.passwords) == 1 for one in pair), step
                assert PASSWORD not in pair[0].passwords.values()
                assert not list(lab.folder.glob("password.*")), step
                continue
            assert step > 12, "not every step was tried"
            return
    raise AssertionError("it never ended")


def _faked(built: House, dies: Callable[[], None]) -> tuple[Context, list[Keys]]:
    real = built.context
    pair = [Keys(tier, one, dies) for tier, one in real.repositories.items()]
    return dataclasses.replace(real, hot=cast(Repository, pair[0]), cold=cast(Repository, pair[1])), pair


def _opens(file: Path, pair: Sequence[Keys]) -> bool:
    return all(file.read_text().strip() in one.passwords.values() for one in pair)
