"""The drill that must fail: the canary's own packs, with one byte of its blob flipped, must not pass for sound.

A small random object is backed up as the domain `_canary`. Each drill lays its packs, the index, the keys and the
config out as a repository in the scratch place, restores and compares it there, flips a byte inside the blob, and does
the same again with the code that the drill itself compares with. Live repositories are only read.
"""

import os
import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from resticwrap import errors
from resticwrap.model.drill import CanaryResult
from resticwrap.model.objects import Entry
from resticwrap.model.snapshot import CANARY, Snapshot, Tags, TierName
from resticwrap.planning import owners
from resticwrap.ports import BackupRequest, Repository
from resticwrap.services.context import Context
from resticwrap.services.drill import rehearse
from resticwrap.services.drill.frame import Begun, Canary

MAX_AGE = timedelta(days=30)
SIZE = 8192
NAME = "canary"
EXPIRES = 3650
TIER: TierName = "hot"
"""Where backups go, so where the canary is. What it proves is the comparison, which is the same for both tiers."""


def trial(context: Context) -> Canary:
    """The canary of a drill, for the frame."""

    def tried(begun: Begun) -> tuple[CanaryResult, tuple[str, ...]]:
        notes: list[str] = []
        snapshot = _snapshot(context, begun, notes)
        return _tried(context, begun, snapshot), tuple(notes)

    return tried


def _snapshot(context: Context, begun: Begun, notes: list[str]) -> Snapshot:
    """The canary's newest snapshot; a new one where there is none or where it is old. Raises what restic says; where an
    old one is there and no new one can be made, the old one will do."""
    known = newest(owners.ours(context.hot.snapshots(), context.settings.hosts))
    if known is not None and begun.job.started_at - known.time <= MAX_AGE:
        return known
    try:
        return refresh(context, begun.job.id)
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        if known is None:
            raise
        notes.append(f"No new canary could be backed up, so one of {known.time:%Y-%m-%d} was taken: {error.message}")
        return known


def newest(snapshots: Sequence[Snapshot]) -> Snapshot | None:
    """The newest snapshot of the canary."""
    return max((one for one in snapshots if one.domain == CANARY), key=lambda one: (one.time, one.id), default=None)


def refresh(context: Context, job: str) -> Snapshot:
    """Back a new canary up: fresh random bytes, so that it lies in a pack of its own."""
    folder = context.settings.state_dir / CANARY
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / NAME).write_bytes(secrets.token_bytes(SIZE))
    except OSError as error:
        raise errors.DiskFull(
            f"The canary cannot be written into {folder}: {error.strerror}.", hint="rw doctor"
        ) from error
    request = BackupRequest(
        cwd=os.fsencode(folder),
        name=os.fsencode(NAME),
        tags=Tags(
            domain=CANARY,
            layer="derived",
            priority="P2",
            job=job,
            type="full",
            tier=TIER,
            expire_after_days=EXPIRES,
        ),
        host=context.settings.host,
        force=True,
    )
    result = context.hot.backup(request, lambda _: None)
    if result.snapshot is None or not result.complete:
        raise errors.ResticFailed("The canary was not backed up whole.", hint="rw doctor")
    return context.hot.snapshot(result.snapshot)


def _tried(context: Context, begun: Begun, snapshot: Snapshot) -> CanaryResult:
    folder = begun.place.folder / CANARY
    folder.mkdir(mode=0o700)
    base = folder / "repository"
    (entry,) = [one for one in context.hot.trees().walk(snapshot.tree) if one.kind == "file"]
    _assemble(context, snapshot, base)
    repository = context.beside(base)
    places = repository.trees(no_cache=True).places(entry.content[0])
    if not places or len(entry.content) != 1:
        return CanaryResult(snapshot=snapshot.original, why="The index does not say where its bytes lie.")
    sound = _restored(context, repository, snapshot, entry, folder / "sound")
    if sound:
        return CanaryResult(snapshot=snapshot.original, why=f"Its own packs did not compare well: {sound}.")
    inside = secrets.randbelow(min(blob.length for blob in places))
    for blob in places:  # of one that lies in several packs restic may take any
        _flip(base / TIER / "data" / blob.pack[:2] / blob.pack, blob.offset + inside)
    said = _restored(context, context.beside(base), snapshot, entry, folder / "flipped")
    return CanaryResult(
        snapshot=snapshot.original,
        sound=True,
        caught=bool(said),
        offset=places[0].offset + inside,
        why="" if said else "One of its bytes was flipped, and the drill's own comparison did not tell.",
    )


def _restored(context: Context, repository: Repository, snapshot: Snapshot, entry: Entry, place: Path) -> str:
    """What the comparison says of the canary as restored from here; nothing where all is well. What restic says of it
    does not count: the comparison is what is on trial. A canary that was not compared at all is not well."""
    place.mkdir(mode=0o700)
    back = rehearse.bring_back(context, repository, snapshot, lambda _: [entry], place, CANARY, [entry.path])
    if back.objects != 1:
        return "it was not compared"
    return ", ".join(back.kinds)


def _assemble(context: Context, snapshot: Snapshot, base: Path) -> None:
    """Lay out a repository of the canary alone: the bytes of the target, read by our own client."""
    store, prefix = context.store, f"{context.target.namespace}/{TIER}"
    packs = context.hot.trees().needed_packs([snapshot.tree])
    names = ["config", f"snapshots/{snapshot.id}", *(f"data/{pack[:2]}/{pack}" for pack in sorted(packs))]
    for kind in ("keys", "index"):
        names += [found.key.removeprefix(f"{prefix}/") for found in store.list(f"{prefix}/{kind}/")]
    for kind in ("locks", "snapshots", "data", "keys", "index"):
        (base / TIER / kind).mkdir(mode=0o700, parents=True)
    for name in names:
        context.heed()
        path = base / TIER / name
        if not path.resolve().is_relative_to(base.resolve()):
            raise errors.Damaged("A name in the repository leads out of it.", hint="rw verify")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(store.get(f"{prefix}/{name}"))


def _flip(pack: Path, offset: int) -> None:
    """Change one byte of a file in the scratch place."""
    with pack.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ (1 + secrets.randbelow(255))]))
