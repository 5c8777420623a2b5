"""A folder into which a whole system is restored, with an installation of `rw` of its own beside it.

`rw/` holds policies, state, cache and secrets of that installation, `system/` the domains, one folder each.
"""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from resticwrap import errors
from resticwrap.model.base import Time, Value, from_json, to_json
from resticwrap.model.kit import Kit, SystemDomain


class Mark(Value, frozen=True):
    """`rw/place.json`: what the folder is filled from, so that the same command goes on and no other one does."""

    target: str
    repositories: dict[str, str]
    declared_at: Time
    begun_at: Time
    done: dict[str, SystemDomain] = {}
    """What is back and was compared: it is not touched again, for the system may be at work on it."""
    started: bool = False


@dataclass(frozen=True)
class Place:
    """Where things lie below the folder."""

    root: Path

    @property
    def rw(self) -> Path:
        return self.root / "rw"

    @property
    def policies(self) -> Path:
        return self.rw / "policies"

    @property
    def state(self) -> Path:
        return self.rw / "state"

    @property
    def cache(self) -> Path:
        return self.rw / "cache"

    @property
    def secrets(self) -> Path:
        return self.rw / "secrets"

    @property
    def environment(self) -> Path:
        """A file for a shell: what has to be set to use this installation."""
        return self.secrets / "environment"

    @property
    def password(self) -> Path:
        return self.secrets / "password"

    @property
    def system(self) -> Path:
        return self.root / "system"

    @property
    def mark(self) -> Path:
        return self.rw / "place.json"

    def file(self, name: str) -> Path:
        """Where a file that the target names lies here."""
        return self.secrets / name


def begin(place: Place, kit: Kit, mark: Mark) -> Mark:
    """Lay the installation down, or find it as an earlier run of the same command left it; returns its mark.

    Raises RestoreRefused where the folder holds anything else. Folders are 0700, files 0600.
    """
    try:
        found = _found(place, kit)
        place.root.mkdir(parents=True, mode=0o700, exist_ok=True)
        for folder in (place.rw, place.policies, place.state, place.cache, place.secrets, place.system):
            folder.mkdir(mode=0o700, exist_ok=True)
        if found is None:
            _write(place.mark, to_json(mark))
        laid = {place.policies / Path(name).name: text for name, text in kit.policies.items()}
        laid |= {place.file(Path(name).name): text for name, text in kit.files.items()}
        laid |= {place.password: f"{kit.password}\n", place.environment: _environment(place, kit)}
        for file, text in laid.items():
            # What is there may have been changed since, the password by `rw key rotate`: it is not put back.
            if not os.path.lexists(file):
                _write(file, text.encode())
    except OSError as error:
        raise errors.Failure(
            f"{place.root} cannot be restored to: {error.strerror}.", hint="Give another folder with --to."
        ) from error
    return found or mark


def refuse_full(place: Place, kit: Kit) -> None:
    """Raises RestoreRefused where `begin` would, and writes nothing."""
    _found(place, kit)


def _found(place: Place, kit: Kit) -> Mark | None:
    """The mark of an earlier run of the same command; None in an empty folder."""
    if not os.path.lexists(place.root):
        return None
    if not place.root.is_dir():
        raise _full(place)
    names = {path.name for path in place.root.iterdir()}
    if not names:
        return None
    try:
        mark = from_json(Mark, place.mark.read_bytes())
    except (FileNotFoundError, ValueError):
        # Killed before it could leave its mark: empty folders and nothing else.
        if names <= {"rw", "system"} and not any(files for _, _, files in os.walk(place.root)):
            return None
        if names == {"rw"} and all(path.name.startswith(".place.json") or path.is_dir() for path in place.rw.iterdir()):
            return None
        raise _full(place) from None
    if mark.target != kit.target or mark.repositories != repositories(kit):
        raise errors.RestoreRefused(
            f"{place.root} was filled from another kit or target.", hint="Give an empty or a new folder with --to."
        )
    return mark


def _full(place: Place) -> errors.RestoreRefused:
    return errors.RestoreRefused(
        f"{place.root} is not an empty folder.",
        hint="Give an empty or a new folder with --to; only a run of this very command is gone on with.",
    )


def remember(place: Place, mark: Mark) -> None:
    """Write the mark anew."""
    try:
        _write(place.mark, to_json(mark))
    except OSError as error:
        raise errors.Failure(f"{place.mark} cannot be written: {error.strerror}.", hint="Make room there.") from error


def repositories(kit: Kit) -> dict[str, str]:
    """The ids of a kit's repositories by tier."""
    return {tier: pin.repository_id for tier, pin in kit.pins.items()}


def variables(place: Place, kit: Kit) -> dict[str, str]:
    """What the installation there needs in its environment."""
    return {
        **kit.variables,
        "RW_POLICIES": str(place.policies),
        "RW_STATE_DIR": str(place.state),
        "RESTIC_CACHE_DIR": str(place.cache),
        "RESTIC_PASSWORD_FILE": str(place.password),
        "BACKUP_TARGET_DEFAULT": kit.target,
    }


def _environment(place: Place, kit: Kit) -> str:
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables(place, kit).items())]
    needed = [f"# set these as well: {' '.join(kit.needs)}   ({kit.where})"] if kit.needs else []
    return "\n".join(["# . this file, and `rw` works on what was restored here.", *needed, *lines, ""])


def _write(file: Path, data: bytes) -> None:
    """Write a private file whole or not at all."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.rename(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
