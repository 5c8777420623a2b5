"""Files of secrets in the recovery kit: taken in where the policy asks for it, and out again by hand."""

import os
import stat
from pathlib import Path

from resticwrap import errors
from resticwrap.model.kit import Kit, KitFile, KitFiles, KitSecret
from resticwrap.model.sources import SecretsSource
from resticwrap.services.context import Records
from resticwrap.services.restore import refuse_full

LARGEST = 1 << 20
"""No file of secrets is larger that belongs into a kit."""


def gather(records: Records) -> tuple[KitSecret, ...]:
    """The files of all domains whose policy says `in_kit`, as they are now. Raises Failure for one that cannot be read:
    a kit without it would be missed when it is too late."""
    return tuple(
        _read(name, domain.source.root, file)
        for name, domain in records.settings.domains.items()
        if isinstance(domain.source, SecretsSource) and domain.source.in_kit
        for file in domain.source.files
    )


def _read(domain: str, root: Path, file: str) -> KitSecret:
    path = root / file
    try:
        with path.open("rb") as stream:
            found, content = os.fstat(stream.fileno()), stream.read(LARGEST + 1)
    except OSError as error:
        raise errors.Failure(
            f"{path} belongs into the kit and cannot be read: {error.strerror}.", hint=f"ls -l {path}"
        ) from None
    if len(content) > LARGEST:
        raise errors.Failure(f"{path} is too large for a kit.", hint=f"in_kit: false for {domain} in domains.yaml")
    mode, uid, gid = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
    return KitSecret(domain=domain, path=file, mode=mode, uid=uid, gid=gid, content=content)


def write(kit: Kit, to: Path, *, dry_run: bool = False) -> KitFiles:
    """Write them into an empty folder, one folder for each domain, with their modes, and with their owners where we are
    root. Raises NotFound where the kit has none, RestoreRefused for a folder that is not empty."""
    refuse_full(to)
    if not kit.secrets:
        raise errors.NotFound(
            "This kit holds no files of secrets.",
            hint="They are in the backup all the same: rw kit restore. In the next kit with `in_kit: true`.",
        )
    if not dry_run:
        try:
            to.mkdir(parents=True, exist_ok=True, mode=0o700)
            for one in kit.secrets:
                _write(to / one.domain, Path(one.path), one)
        except OSError as error:
            raise errors.Failure(f"{error.filename or to} cannot be written: {error.strerror}.") from error
    files = tuple(
        KitFile(domain=one.domain, path=one.path, mode=f"{one.mode:o}", size=len(one.content)) for one in kit.secrets
    )
    return KitFiles(target=kit.target, made_at=kit.made_at, place=str(to), planned=dry_run, files=files)


def _write(folder: Path, path: Path, one: KitSecret) -> None:
    place = folder / path
    for above in (folder, *reversed([folder / part for part in path.parents if part.name])):
        above.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(one.content)
        if os.geteuid() == 0:
            os.fchown(stream.fileno(), one.uid, one.gid)
        os.fchmod(stream.fileno(), one.mode)
