"""What the in-place restore needs of the outside. `host/` has the real ones; faults are injected by wrapping them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from resticwrap.errors import Failure
from resticwrap.model.reports import Mismatch
from resticwrap.model.swap import HolderReport, Journal, Piece, Place, RootMeta, Safety, Swap, SwapState, Unsaved


class Work(Protocol):
    """What knows repositories and domains. Each raises Failure; none of them changes the live place."""

    def snapshot_live(self, piece: Piece) -> Safety:
        """A snapshot of the piece's whole domain as it is now. Asked once per domain."""

    def restore_to(self, piece: Piece, folder: Path) -> Path:
        """Restore the piece somewhere below `folder` and say where it stands. Raises where a part did not come."""

    def compare(self, piece: Piece, place: Path, *, staged: bool = False) -> Sequence[Mismatch]:
        """Compare what stands at `place` with what was backed up. Names like `.rw-restore-*` are not part of it.
        What was just `staged` may be mended meanwhile: see `services.compare`."""

    def unsaved(
        self, piece: Piece, place: Path, *, safety: str | None = None, live: bytes = b"", names_only: bool = False
    ) -> Unsaved:
        """What the tree at `place` has and the piece's snapshot has not; or, with `safety`, that snapshot of what was
        `live`. With `names_only` no content is looked at. Raises Failure where the snapshot cannot be read."""

    def own(self) -> Sequence[Path]:
        """Places that rw itself lives on: its state, its cache, its password, repositories on this machine."""


class Exchanger(Protocol):
    """Exchanges names between two folders. Every call raises Failure; apply, revert and discard may be repeated."""

    def place(self, live: Path) -> Place:
        """How a live path can be exchanged. Raises RestoreRefused where it cannot."""

    def overlap(self, one: Path, other: Path) -> bool:
        """Whether one is the other or lies inside it, by whatever names and mounts."""

    def exists(self, path: Path) -> bool:
        """Whether there is anything by that name, a dangling link included."""

    def make_stage(self, stage: Path, missing: Sequence[bytes]) -> None:
        """Make an empty stage and the missing parents; raises RestoreRefused where nothing can be exchanged there."""

    def plan(self, live: Path, staged: Path, *, whole: bool, new_root: RootMeta | None = None) -> Swap:
        """What exchanging the two means. `new_root`: metadata for a live folder that stays itself."""

    def flush(self, path: Path) -> None:
        """Bring everything written to that file system to its disk."""

    def apply(self, swap: Swap) -> None:
        """Exchange what is not exchanged yet."""

    def revert(self, swap: Swap) -> None:
        """Exchange back what is exchanged."""

    def progress(self, swap: Swap) -> SwapState:
        """How many of its names were exchanged: none (`before`), some, all (`after`). Looks at nothing else."""

    def all_kept(self, swap: Swap) -> bool:
        """Whether all that was live before the swap still stands in its stage."""

    def discard(self, stage: Path, missing: Sequence[bytes]) -> None:
        """Remove a stage and what is in it, and parents that were made for it where they are empty."""


class Holders(Protocol):
    """Looks for processes that use a place."""

    def find(self, path: Path, *, renamed: bool) -> HolderReport:
        """Uses at or below `path`; with `renamed`, mounts of exactly it elsewhere count as well."""


class Space(Protocol):
    """Room on the file system of a path, which may not exist yet."""

    def free(self, path: Path) -> int:
        """Bytes that we may still write."""

    def device(self, path: Path) -> int:
        """What tells file systems apart."""


class Journals(Protocol):
    """Journals on disk, each written whole or not at all, and flushed."""

    def write(self, journal: Journal) -> None: ...

    def read(self, job: str) -> Journal | None: ...

    def all(self) -> Sequence[Journal]:
        """Oldest first. Raises Damaged where one cannot be read."""

    def scan(self) -> tuple[Sequence[Journal], Mapping[str, Failure]]:
        """Those that can be read, oldest first, and by job what is wrong with the others."""
