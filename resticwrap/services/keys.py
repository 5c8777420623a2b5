"""`rw key`: the keys of a target's repositories, and the exchange of their password.

A password is exchanged in steps of which each leaves one on the disk that opens both repositories. Beside the password
file stand, while that goes on, `FILE.new` (it may open nothing yet) and `FILE.old` (it opens until its keys are
removed). The same command goes on after a crash.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.model.kit import KeyReport, RepositoryKey
from resticwrap.ports import Repository
from resticwrap.services import audit, kit
from resticwrap.services.context import Context

BYTES = 32
SHORTEST_ID = 6
LOCK = "keys"


def listed(context: Context) -> KeyReport:
    """The keys of both repositories."""
    return KeyReport(target=context.target_name, action="listed", keys=_keys(context))


def add(context: Context, new: Path) -> KeyReport:
    """Give both repositories a key that the password in `new` opens. The target's own password stays what it is."""
    password = _read(new)
    with context.locks.hold(f"{LOCK} {context.target_name}"):
        repositories = _repositories(context)
        added = {tier: _opened_by(one, password) or one.add_key(password) for tier, one in repositories.items()}
        return _done(context, KeyReport(target=context.target_name, action="added", keys=_keys(context), added=added))


def remove(context: Context, wanted: str) -> KeyReport:
    """Remove one key by its id or the beginning of it. Raises UsageError for the current and for the last one."""
    if len(wanted) < SHORTEST_ID:
        raise errors.UsageError(f"A key's id needs at least {SHORTEST_ID} characters.", hint="rw key list")
    with context.locks.hold(f"{LOCK} {context.target_name}"):
        keys = _keys(context)
        found = [one for one in keys if one.id.startswith(wanted)]
        if len(found) != 1:
            many = "more than one key" if found else "no key"
            raise errors.NotFound(f"Target {context.target_name} has {many} {wanted}.", hint="rw key list")
        (key,) = found
        if key.current:
            raise errors.UsageError(
                f"{key.id[:8]} is the key that the password of target {context.target_name} opens.",
                hint="rw key rotate makes another one first.",
            )
        if sum(one.tier == key.tier for one in keys) < 2:
            raise errors.UsageError(f"{key.id[:8]} is the last key of {key.tier}.", hint="rw key add")
        context.repositories[key.tier].remove_key(key.id)
        report = KeyReport(
            target=context.target_name, action="removed", keys=_keys(context), removed={key.tier: (key.id,)}
        )
        return _done(context, report)


def rotate(context: Context, new: Path | None = None) -> KeyReport:
    """Exchange the password of both repositories: for that in `new`, else for one that is made here.

    Where the password comes from a command or a variable, `new` must be given, and the old keys stay: only a person can
    change what the command prints.
    """
    file = context.recovery.secrets.file
    with context.locks.hold(f"{LOCK} {context.target_name}"):
        repositories = _repositories(context)
        if file is None:
            return _beside(context, repositories, new)
        _refuse_shared(context, file)
        return _Rotation(context, repositories, file).run(new)


def _refuse_shared(context: Context, file: Path) -> None:
    """Raises UsageError where repositories of another target open with the same file: they would be locked for good."""
    settings, real = context.settings, os.path.realpath(file)
    named = settings.env.get("RESTIC_PASSWORD_FILE")
    for name in settings.target_names:
        if name == context.target_name or not context.state.pins(name):
            continue
        try:
            other = settings.target(name)
            own, command = other.password_file, other.password_command
        except errors.UsageError:  # its variables are not set here: the file may well be its own too
            own, command = None, None
        theirs = own or (None if command or not named else Path(named))
        if theirs is not None and os.path.realpath(theirs) == real:
            raise errors.UsageError(
                f"The password file {file} is that of target {name} too, whose keys would not be exchanged with it.",
                hint=f"Copy it, and name the copy as `password_file` of {name} in targets.yaml; then rotate.",
            )


class _Rotation:
    """The exchange of a password that lies in a file."""

    def __init__(self, context: Context, repositories: Mapping[str, Repository], file: Path) -> None:
        self.context, self.repositories = context, repositories
        # What the name leads to is replaced, and not a link to it.
        self.file = Path(os.path.realpath(file))
        self.new = self.file.with_name(f"{self.file.name}.new")
        self.old = self.file.with_name(f"{self.file.name}.old")

    def run(self, given: Path | None) -> KeyReport:
        notes = []
        added: dict[str, str] = {}
        if os.path.lexists(self.old) and not self.switched():
            self.old.unlink()  # killed before the exchange: it is the same as what is there
        if os.path.lexists(self.old):
            notes.append("A rotation that was interrupted was finished; run it again for another one.")
        else:
            added = self.prepare(given)
            self.switch()
        # Before the keys go that it holds: killed after that, nothing else would tell.
        kit.outdate(self.context, _outdated(self.context, "rotated"))
        removed = self.finish()
        keys = tuple(key for one in self.repositories.values() for key in one.list_keys(_read(self.file)))
        report = KeyReport(
            target=self.context.target_name,
            action="rotated",
            keys=keys,
            added=added,
            removed=removed,
            password_file=str(self.file),
            notes=tuple(notes),
        )
        return _done(self.context, report)

    def switched(self) -> bool:
        """Whether the file has another password than the old one beside it."""
        return _read(self.file) != _read(self.old)

    def prepare(self, given: Path | None) -> dict[str, str]:
        """A new password beside the file, and keys for it in both repositories, proven."""
        if not os.path.lexists(self.new):
            _write(self.new, _read(given) if given else secrets.token_urlsafe(BYTES), like=self.file)
        elif given is not None and _read(given) != _read(self.new):
            raise errors.UsageError(
                f"An interrupted rotation left another new password at {self.new}.",
                hint="Run rw key rotate without --new-password-file to finish it.",
            )
        password, before = _read(self.new), _read(self.file)
        if password == before:
            raise errors.UsageError("The new password is the old one.", hint="Give another one, or none.")
        added = {}
        for tier, one in self.repositories.items():
            if _opened_by(one, password) is None:
                added[tier] = one.add_key(password, before)  # it returns what it opened with the new one
        return added

    def switch(self) -> None:
        """The new password under the file's name, the old one beside it: both are on the disk at any moment."""
        try:
            os.link(self.file, self.old)
            _sync(self.file.parent)
            os.rename(self.new, self.file)
            _sync(self.file.parent)
        except OSError as error:
            raise errors.Failure(
                f"The password file {self.file} cannot be exchanged: {error.strerror}.",
                hint=f"Both passwords open. Look at {self.file.parent}, then run it again.",
            ) from error

    def finish(self) -> dict[str, tuple[str, ...]]:
        """Remove the keys that the old password opens, once it is sure that the new one opens all."""
        password, before = _read(self.file), _read(self.old)
        for tier, one in self.repositories.items():
            if _opened_by(one, password) is None:
                raise errors.VerifyFailed(
                    f"The password in {self.file} does not open the {tier} repository.",
                    hint=f"{self.old} has the one before. Nothing was removed.",
                )
        removed: dict[str, tuple[str, ...]] = {}
        for tier, one in self.repositories.items():
            while (key := _opened_by(one, before)) is not None:
                one.remove_key(key, password)
                removed[tier] = (*removed.get(tier, ()), key)
        self.old.unlink()
        return removed


def _beside(context: Context, repositories: Mapping[str, Repository], new: Path | None) -> KeyReport:
    if new is None:
        raise errors.UsageError(
            f"The password of target {context.target_name} comes from a command or a variable.",
            hint="Give the new one: rw key rotate --new-password-file FILE",
        )
    password = _read(new)
    added = {}
    for tier, one in repositories.items():
        if _opened_by(one, password) is None:
            added[tier] = one.add_key(password)
    keys = _keys(context)
    old = ", ".join(key.id[:8] for key in keys if key.current)
    note = (
        "Both passwords open now. Let the command or variable give the new one, then remove the old keys: "
        f"rw key remove ID   (they are {old})"
    )
    return _done(
        context,
        KeyReport(target=context.target_name, action="rotated", keys=keys, added=added, notes=(note,)),
    )


def _done(context: Context, report: KeyReport) -> KeyReport:
    """What was done is evidence, and the last kit is out of date."""
    late = None
    if report.added or report.removed:
        if report.action != "rotated" or not report.removed:
            kit.outdate(context, _outdated(context, report.action))
        body = {
            "action": report.action,
            "added": report.added,
            "removed": {tier: list(ids) for tier, ids in report.removed.items()},
        }
        late = audit.record(context, "key", body)
    return msgspec.structs.replace(report, notes=(*report.notes, *([late] if late else [])))


def _outdated(context: Context, action: str) -> str:
    return f"keys were {action} on {context.clock.now():%Y-%m-%d %H:%M} UTC"


def _repositories(context: Context) -> dict[str, Repository]:
    """The pinned repositories by tier. Raises OtherRepository where another one answers."""
    for tier in context.pins():
        context.check_pin(tier)
    return {tier: context.repositories[tier] for tier in context.pins()}


def _keys(context: Context) -> tuple[RepositoryKey, ...]:
    return tuple(key for one in _repositories(context).values() for key in one.list_keys())


def _opened_by(repository: Repository, password: str) -> str | None:
    """The key that a password opens, None where it opens none."""
    try:
        return next((key.id for key in repository.list_keys(password) if key.current), None)
    except errors.WrongPassword:
        return None


def _read(file: Path) -> str:
    try:
        found = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.WrongPassword(
            f"The password file {file} cannot be read: {type(error).__name__}.", hint=f"ls -l {file}"
        ) from None
    if not found:
        raise errors.WrongPassword(f"The password file {file} is empty.", hint="Put the password into it.")
    return found


def _write(file: Path, password: str, *, like: Path) -> None:
    """A private file that is there whole or not at all, of the same owner as the one that it will replace."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as stream:
                stream.write(f"{password}\n")
                stream.flush()
                owner = like.stat()
                if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
                os.fchmod(stream.fileno(), owner.st_mode & 0o660 | 0o600)
                os.fsync(stream.fileno())
            beside.rename(file)
        finally:
            beside.unlink(missing_ok=True)
        _sync(file.parent)
    except OSError as error:
        raise errors.Failure(f"{file} cannot be written: {error.strerror}.", hint=f"ls -ld {file.parent}") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
