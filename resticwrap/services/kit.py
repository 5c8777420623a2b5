"""`rw kit export`, `rw kit show`, and whether the last kit still opens what it should."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

import msgspec

from resticwrap import errors
from resticwrap.model.base import from_json, to_json
from resticwrap.model.kit import Kit, KitRecord, KitReport, KitSecret, KitState
from resticwrap.planning import kit as planning
from resticwrap.services import audit, kitsecrets
from resticwrap.services.context import Context, Records
from resticwrap.services.place import repositories
from resticwrap.services.recovery_ports import Sealing
from resticwrap.settings.loading import FILES
from resticwrap.settings.used import Used, used

VERSION = 1
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""None that is taken for another when it is read off paper."""
MOST_BYTES = 64 << 20
"""No kit is larger: policies and secrets are small."""


def generate() -> str:
    """A passphrase of 29 characters in groups, of about 123 bits."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(5)) for _ in range(5))


def gather(context: Context) -> Kit:
    """What an empty machine needs to be told. Opens the repositories. Raises what the target and the password raise."""
    rule, secret = context.settings.recovery.kit, context.recovery.secrets
    refer = rule.credentials == "refer"
    found = _used(context)
    if refer and found.literal:
        raise errors.UsageError(
            "`kit.credentials: refer` cannot keep out of the kit what stands in targets.yaml or domains.yaml itself.",
            hint="Write the credentials of all targets, and the passwords of databases, as variables: ${NAME}.",
        )
    pins = dict(context.pins())
    for tier in pins:
        context.check_pin(tier)
    password = secret.password()
    credentials = {} if refer else dict(secret.credentials())
    holds: Literal["included", "elsewhere", "none"] = "none"
    if context.target.provider != "local":
        holds = "elsewhere" if refer else "included" if credentials or _keys_given(context) else "none"
    ca_file = getattr(context.target, "ca_file", None)
    return Kit(
        made_at=context.clock.now(),
        by=audit.user(),
        host=context.machine,
        target=context.target_name,
        provider=context.target.provider,
        namespace=context.target.namespace,
        policies=_policies(context.settings.folder),
        variables={name: value for name, value in found.values.items() if not (refer and name in found.secret)},
        credentials=credentials,
        holds=holds,
        needs=tuple(sorted(found.secret & found.values.keys())) if refer else (),
        where=rule.where if refer else "",
        password=password,
        files={"ca_file": _text(ca_file)} if ca_file is not None else {},
        pins=pins,
        keys={tier: tuple(key.id for key in context.repositories[tier].list_keys(password)) for tier in pins},
        head=audit.head(context),
        versions=dict(context.versions),
        secrets=kitsecrets.gather(context),
    )


def export(context: Context, file: Path, passphrase: str, *, force: bool = False) -> KitReport:
    """Write the kit and its page of steps, open it again, and remember what it opens.

    Raises UsageError for a weak passphrase, and where the file is there and not to be written over.
    """
    planning.check_passphrase(passphrase)
    page = file.with_name(f"{file.name}.txt")
    for one in (file, page):
        if os.path.lexists(one) and not force:
            raise errors.UsageError(f"{one} is there already.", hint="Give another --out, or --force to replace it.")
    kit = gather(context)
    sealing = context.recovery.sealing()
    plain = to_json(kit)
    sealed = sealing.seal(plain, passphrase)

    def opens(beside: Path) -> None:
        """A kit that does not open is no kit, and replaces none: what lies on the disk is read back."""
        if sealing.open(_read(beside), passphrase) != plain:
            raise errors.VerifyFailed(f"{file} does not hold what was written to it.", hint="Write it to another disk.")

    _write(file, sealed, force=force, check=opens)
    report = msgspec.structs.replace(_report(kit, file, sealed), notes=_notes(context, kit), page=str(page))
    _write(page, planning.steps(report).encode(), force=force)
    context.state.put_kit(context.target_name, _record(context, kit, report))
    body = {
        "action": "exported",
        "digest": report.digest,
        "repositories": report.repositories,
        "keys": {tier: list(ids) for tier, ids in report.keys.items()},
        "credentials": report.credentials,
    }
    late = audit.record(context, "kit", body)
    return msgspec.structs.replace(report, notes=(*report.notes, *([late] if late else [])))


def plan(context: Context, file: Path) -> KitReport:
    """What an export would write; writes nothing."""
    kit = gather(context)
    return msgspec.structs.replace(_report(kit, file, b""), digest="", notes=_notes(context, kit))


def opened(sealing: Sealing, file: Path, passphrase: str) -> Kit:
    """The kit in a file. Raises WrongPassword, Damaged, UsageError for a file of a newer rw."""
    plain = sealing.open(_read(file), passphrase)
    try:
        kit = from_json(Kit, plain)
    except ValueError as error:
        raise errors.Damaged(f"{file} opens, but holds no recovery kit.", hint="Is it the right file?") from error
    if kit.kit_version > VERSION:
        raise errors.UsageError(
            f"{file} was written by a newer rw ({kit.versions.get('resticwrap', '?')}).", hint="Install that version."
        )
    return kit


def show(sealing: Sealing, file: Path, passphrase: str) -> KitReport:
    """What is in a kit, without its secrets."""
    return _report(opened(sealing, file, passphrase), file, _read(file))


def state_of(records: Records) -> KitState:
    """Whether the last kit of this target is still good, as far as this machine's own files tell: in no time, and
    without asking the target, a password command or restic."""
    record = records.state.kit(records.target_name)
    if record is None:
        return KitState(stale=("no recovery kit was made here",))
    stale = list(record.outdated)
    age = records.clock.now() - record.exported_at
    if age > records.settings.recovery.kit.max_age:
        stale.append(f"the kit is {_days(age)} old")
    if policies_digest(records.settings.folder) != record.policies:
        stale.append("the policies were changed since")
    if _salted(record.salt, _used(records).values) != record.variables:
        stale.append("variables of the policies (credentials among them) have other values now")
    if (why := _secrets_changed(records, record)) is not None:
        stale.append(why)
    known = {tier: pin.repository_id for tier, pin in records.state.pins(records.target_name).items()}
    if known and known != record.repositories:
        stale.append("the target has other repositories now")
    return KitState(exported_at=record.exported_at, file=record.file, stale=tuple(stale))


def examined(context: Context) -> KitState:
    """As `state_of`, and asks the target: whether the password, the credentials and the keys are those of the kit."""
    state = state_of(context)
    record = context.state.kit(context.target_name)
    if record is None:
        return state
    stale = list(state.stale)
    secret = context.recovery.secrets
    if _salted(record.salt, {"password": secret.password()}) != record.password:
        stale.append("the password is another one now")
    if _salted(record.salt, secret.credentials()) != record.credentials:
        stale.append("the credentials are others now")
    for tier, ids in record.keys.items():
        if not record.outdated and {key.id for key in context.repositories[tier].list_keys()} != set(ids):
            stale.append(f"the {tier} repository has other keys now")
    return msgspec.structs.replace(state, stale=tuple(dict.fromkeys(stale)))


def outdate(context: Context, why: str) -> None:
    """Remember that the last kit does not know of something."""
    record = context.state.kit(context.target_name)
    if record is not None and why not in record.outdated:
        context.state.put_kit(context.target_name, msgspec.structs.replace(record, outdated=(*record.outdated, why)))


def policies_digest(folder: Path) -> str:
    """sha256 over the names and bytes of the policies."""
    return hashlib.sha256(to_json(sorted(_policies(folder).items()))).hexdigest()


def _policies(folder: Path) -> dict[str, str]:
    return {name: _text(folder / name) for name in FILES if (folder / name).is_file()}


def _used(records: Records) -> Used:
    return used(records.settings.folder, records.settings.env, records.target_name)


def _salted(salt: str, values: Mapping[str, str]) -> str:
    """A digest from which nobody can tell a weak value by trying, but with the salt, as private as the state."""
    return hmac.new(salt.encode(), to_json(sorted(values.items())), hashlib.sha256).hexdigest()


def _record(context: Context, kit: Kit, report: KitReport) -> KitRecord:
    salt = secrets.token_hex(16)
    return KitRecord(
        exported_at=kit.made_at,
        file=report.file,
        digest=report.digest,
        repositories=report.repositories,
        keys=report.keys,
        policies=policies_digest(context.settings.folder),
        salt=salt,
        variables=_salted(salt, _used(context).values),
        password=_salted(salt, {"password": kit.password}),
        credentials=_salted(salt, context.recovery.secrets.credentials()),
        secrets=_salted(salt, _contents(kit.secrets)) if kit.secrets else "",
    )


def _contents(secrets: Iterable[KitSecret]) -> dict[str, str]:
    return {f"{one.domain}/{one.path}": hashlib.sha256(one.content).hexdigest() for one in secrets}


def _secrets_changed(records: Records, record: KitRecord) -> str | None:
    """Why the files of secrets of a kit are not those of now; None where they are."""
    try:
        now = kitsecrets.gather(records)
    except errors.Failure as error:
        return error.message.removesuffix(".")
    same = (_salted(record.salt, _contents(now)) if now else "") == record.secrets
    return None if same else "files of secrets that belong into it were changed since"


def _report(kit: Kit, file: Path, sealed: bytes) -> KitReport:
    return KitReport(
        file=str(file),
        digest=hashlib.sha256(sealed).hexdigest(),
        size=len(sealed),
        made_at=kit.made_at,
        by=kit.by,
        host=kit.host,
        target=kit.target,
        provider=kit.provider,
        namespace=kit.namespace,
        policies=tuple(sorted(kit.policies)),
        variables=tuple(sorted(kit.variables)),
        credentials=kit.holds,
        needs=kit.needs,
        where=kit.where,
        repositories=repositories(kit),
        keys=kit.keys,
        head=kit.head,
        versions=kit.versions,
        secrets=tuple(f"{one.domain}/{one.path}" for one in kit.secrets),
    )


def _notes(context: Context, kit: Kit) -> tuple[str, ...]:
    notes = []
    if kit.provider == "local":
        notes.append(
            f"Target {kit.target} is a folder of a disk ({context.target.path}): "  # type: ignore[union-attr]
            "the kit opens it, and does not hold it. The disk must outlive this machine."
        )
    elif kit.holds == "none":
        notes.append(
            "This machine is let in by a role or by keys that end soon, so the kit holds no credentials: "
            "another machine must bring its own (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)."
        )
    return tuple(notes)


def _keys_given(context: Context) -> bool:
    given = getattr(context.target, "credentials", None)
    return getattr(given, "access_key_id", None) is not None


def _days(age: timedelta) -> str:
    return f"{age.days} days" if age.days != 1 else "1 day"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Failure(f"{file} cannot be read: {type(error).__name__}.", hint=f"ls -l {file}") from None


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise errors.NotFound(f"{file} cannot be read: {error.strerror}.", hint=f"ls -l {file}") from None
    if len(data) > MOST_BYTES:
        raise errors.Damaged(f"{file} is far too large to be a recovery kit.", hint="Is it the right file?")
    return data


def _write(file: Path, data: bytes, *, force: bool, check: Callable[[Path], None] = lambda _: None) -> None:
    """Write a private file (0600) whole or not at all; over another one only with `force`. `check` gets it before it
    has its name, and may raise."""
    beside = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            check(beside)
            if force:
                beside.rename(file)
            else:
                os.link(beside, file)
        finally:
            beside.unlink(missing_ok=True)
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise errors.UsageError(f"{file} is there already.", hint="Give another --out, or --force.") from None
    except OSError as error:
        raise errors.Failure(f"{file} cannot be written: {error.strerror}.", hint="Give another --out.") from error
