"""The repository password: from where the policy or the environment says, or from the file that `rw init` generated.

It reaches restic through a descriptor, never through an argument list or an environment variable.
"""

import os
import secrets
import shlex
import threading
from collections.abc import Mapping
from pathlib import Path

from resticwrap import errors, process
from resticwrap.model.policy import Target
from resticwrap.restic.runner import INHERITED

BYTES = 32
"""256 bits: what is generated cannot be guessed, whatever the key's cost."""
COMMAND_TIMEOUT = 60.0
FOR_COMMANDS = (
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "CREDENTIALS_DIRECTORY",
    "SSH_AUTH_SOCK",
    "KRB5CCNAME",
    "GNUPGHOME",
    "GPG_TTY",
    "PASSWORD_STORE_DIR",
    "PASSWORD_STORE_GPG_OPTS",
    "SOPS_AGE_KEY_FILE",
    "VAULT_ADDR",
    "VAULT_TOKEN",
    "VAULT_NAMESPACE",
    "VAULT_CACERT",
    "VAULT_CAPATH",
    "BW_SESSION",
    "OP_SERVICE_ACCOUNT_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "CLOUDSDK_CONFIG",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_CONFIG_DIR",
)
"""What password commands are known to need, beside what restic gets: no key of a target is among them."""


class Password:
    """Callable: the password of a target. Read once, kept in memory, shown nowhere."""

    def __init__(self, name: str, target: Target, env: Mapping[str, str], state_dir: Path) -> None:
        self._name, self._target, self._env = name, target, env
        self._generated = state_dir / "secrets" / f"{name}.password"
        self._known: str | None = None
        self._once = threading.Lock()

    def __repr__(self) -> str:
        return f"Password({self._name})"

    def __call__(self) -> str:
        """Raises WrongPassword where none is configured or it is empty, Failure where it cannot be read."""
        with self._once:
            if self._known is None:
                self._known = self._read()
            return self._known

    @property
    def file(self) -> Path | None:
        """The file it is in; None where it comes from a command or a variable."""
        if self._target.password_file is not None:
            return self._target.password_file
        if self._target.password_command is not None:
            return None
        if named := self._env.get("RESTIC_PASSWORD_FILE"):
            return Path(named)
        if self._env.get("RESTIC_PASSWORD_COMMAND") or self._env.get("RESTIC_PASSWORD"):
            return None
        return self._generated

    def ensure(self) -> tuple[Path | None, bool]:
        """Where it is; generates a strong one (0600) where none is configured and none was generated before."""
        file = self.file
        if file != self._generated or file.exists():
            self()
            return file, False
        try:
            # One after the other: mkdir gives its mode to the last folder alone.
            file.parent.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            file.parent.mkdir(mode=0o700, exist_ok=True)
            _write_new(file, secrets.token_urlsafe(BYTES) + "\n")
        except OSError as error:
            raise errors.Failure(
                f"The password file {file} cannot be written: {error.strerror}.",
                hint="Set RW_STATE_DIR to a folder that is yours, or RESTIC_PASSWORD_FILE.",
            ) from error
        return file, True

    def _read(self) -> str:
        file = self.file
        if file is not None:
            found = self._from_file(file)
        elif command := self._target.password_command or (
            None if self._target.password_file else self._env.get("RESTIC_PASSWORD_COMMAND")
        ):
            found = self._from_command(command)
        else:
            found = self._env.get("RESTIC_PASSWORD", "")
        if not found:
            raise errors.WrongPassword(
                f"The password of target {self._name} is empty.", hint="Look at RESTIC_PASSWORD_FILE or password_file."
            )
        return found

    def _from_file(self, file: Path) -> str:
        try:
            return file.read_text().rstrip("\r\n")
        except FileNotFoundError:
            hint = f"rw init --target {self._name}" if file == self._generated else "Set RESTIC_PASSWORD_FILE."
            raise errors.WrongPassword(f"There is no password file {file}.", hint=hint) from None
        except (OSError, UnicodeDecodeError) as error:
            raise errors.WrongPassword(
                f"The password file {file} cannot be read: {type(error).__name__}.", hint=f"ls -l {file}"
            ) from None

    def _from_command(self, command: str) -> str:
        try:
            words = shlex.split(command)
        except ValueError:
            words = []
        if not words:
            raise errors.WrongPassword(
                f"The password command of target {self._name} is empty or has an open quote.",
                hint="Look at password_command in targets.yaml, or RESTIC_PASSWORD_COMMAND.",
            )
        allowed = {key: self._env[key] for key in (*INHERITED, *FOR_COMMANDS) if key in self._env}
        result = process.run(words, env={"PATH": os.defpath, **allowed}, timeout=COMMAND_TIMEOUT, private=True)
        if result.code != 0:
            raise errors.WrongPassword(
                f"The password command of target {self._name} failed with exit code {result.code}.",
                hint="Run the command by hand; rw shows neither it nor what it prints.",
            )
        try:
            return result.stdout.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise errors.WrongPassword(
                f"The password command of target {self._name} printed something that is no text.",
                hint="Run the command by hand; rw shows neither it nor what it prints.",
            ) from None


def _write_new(file: Path, content: str) -> None:
    """Write a file that is there whole or not at all, after a crash too. Raises FileExistsError."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.link(beside, file)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
