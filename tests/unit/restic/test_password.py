"""Where the password comes from, and that it goes nowhere else."""

import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from resticwrap import errors
from resticwrap.model.policy import Target
from resticwrap.restic.password import Password

TARGET: TypeAdapter[Target] = TypeAdapter(Target)


def password(tmp_path: Path, env: dict[str, str] | None = None, **target: Any) -> Password:
    """The password of target `main`."""
    policy = TARGET.validate_python({"provider": "local", "path": "/backups", **target})
    return Password("main", policy, env or {}, tmp_path / "state")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Two password files, each with its own name in it."""
    found = {name: tmp_path / name for name in ("policy", "environment")}
    for name, file in found.items():
        file.write_text(f"from {name}\r\n")
    return found


def test_policy_before_environment_before_the_generated(tmp_path: Path, files: dict[str, Path]) -> None:
    """The nearer word counts; a line's end is no part of it."""
    named = {"RESTIC_PASSWORD_FILE": str(files["environment"])}
    command = {"RESTIC_PASSWORD_COMMAND": "echo from command"}
    plain = {"RESTIC_PASSWORD": "from variable"}
    assert password(tmp_path, {**named, **command}, password_file=files["policy"])() == "from policy"
    assert password(tmp_path, {**named, **command}, password_command="echo 'from  policy'")() == "from  policy"
    assert password(tmp_path, {**named, **command, **plain})() == "from environment"
    assert password(tmp_path, {**command, **plain})() == "from command"
    assert password(tmp_path, plain)() == "from variable"
    assert password(tmp_path, {**named, **plain}).file == files["environment"]
    assert password(tmp_path, plain).file is None
    assert password(tmp_path).file == tmp_path / "state" / "secrets" / "main.password"


def test_generated_once_and_private(tmp_path: Path) -> None:
    """Strong, for its owner only, and never made anew over an old one."""
    made = password(tmp_path)
    with pytest.raises(errors.WrongPassword, match="no password file") as caught:
        made()
    assert caught.value.hint == "rw init --target main"
    file, generated = made.ensure()
    assert generated and file is not None and len(made()) >= 43
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (file.parent, file.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    again = password(tmp_path)
    assert again.ensure() == (file, False) and again() == made()


def test_nothing_is_generated_where_one_is_configured(tmp_path: Path, files: dict[str, Path]) -> None:
    """A file that is named and not there is a mistake, not an invitation."""
    assert password(tmp_path, {"RESTIC_PASSWORD": "x"}).ensure() == (None, False)
    assert password(tmp_path, password_file=files["policy"]).ensure() == (files["policy"], False)
    with pytest.raises(errors.WrongPassword):
        password(tmp_path, password_file=tmp_path / "missing").ensure()
    assert not (tmp_path / "state").exists()


def test_a_state_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A sentence and a hint."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(errors.Failure, match="cannot be written") as caught:
        password(tmp_path).ensure()
    assert "RW_STATE_DIR" in caught.value.hint


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("sh -c 'echo hunter2; exit 3'", "failed with exit code 3"),
        ("true", "is empty"),
        ("echo 'hunter2", "open quote"),
        (" ", "open quote"),
        (r"printf '\377'", "no text"),
    ],
)
def test_a_password_command_that_does_not_work(command: str, says: str, tmp_path: Path) -> None:
    """Neither the command nor what it prints is shown."""
    with pytest.raises(errors.WrongPassword, match=says) as caught:
        password(tmp_path, {"RESTIC_PASSWORD_COMMAND": command})()
    assert "hunter2" not in caught.value.message + caught.value.hint and caught.value.hint


def test_what_a_password_command_sees(tmp_path: Path) -> None:
    """What it needs to find its own way, and no secret of a target."""
    needed = {"HOME": "/h", "VAULT_TOKEN": "t", "GNUPGHOME": "/g", "AWS_PROFILE": "p", "HTTPS_PROXY": "x"}
    secret = ("OSS_ACCESS_KEY_SECRET", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "RESTIC_PASSWORD")
    env = {**needed, "PATH": os.environ["PATH"], **dict.fromkeys(secret, "hunter2"), "ELSE": "1"}
    told = password(tmp_path, env, password_command="env")().splitlines()
    seen = {line.partition("=")[0] for line in told} - {"_", "PWD", "SHLVL", "LC_CTYPE"}
    assert seen == {*needed, "PATH"}


def test_a_password_command_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It may have a secret among its words."""
    with caplog.at_level(logging.DEBUG):
        assert password(tmp_path, password_command="echo hunter2")() == "hunter2"
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_file_that_holds_none(content: bytes, tmp_path: Path) -> None:
    """Empty, or no text."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(errors.WrongPassword) as caught:
        password(tmp_path, password_file=tmp_path / "file")()
    assert caught.value.exit_code == 12 and caught.value.__cause__ is None


def test_it_is_shown_nowhere_and_read_once(tmp_path: Path, files: dict[str, Path]) -> None:
    """A job's password does not change under it."""
    once = password(tmp_path, password_file=files["policy"])
    assert once() == "from policy" and "from policy" not in repr(once) + str(once)
    files["policy"].write_text("another")
    assert once() == "from policy"
