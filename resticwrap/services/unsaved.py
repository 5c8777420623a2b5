"""What a folder has and a snapshot has not: what would be lost with the folder."""

import os
import stat
from collections.abc import Callable, Iterator

import msgspec

from resticwrap.model.objects import Entry, show_path
from resticwrap.model.swap import Unsaved
from resticwrap.ports import Trees
from resticwrap.services.compare import compare

NAMED = 50


def unsaved(
    trees: Trees,
    tree: str,
    inside: bytes,
    place: bytes,
    *,
    names_only: bool = False,
    heed: Callable[[], None] = lambda: None,
) -> Unsaved:
    """What lies at or below `place` and not, or not the same, in the snapshot's `tree` at or below `inside`.

    With `names_only` a name that the snapshot has counts as saved, whatever it holds. A folder that the snapshot does
    not have counts with each thing in it, and is named once. Kept trees of other in-place restores count as well:
    backups leave them out. Modes, owners and times do not count. `heed` is called for each thing that is looked at, and
    may raise to stop it.
    """
    known: set[bytes] = set()

    def entries() -> Iterator[Entry]:
        for entry in trees.walk(tree, inside):
            heed()
            path = entry.path[len(inside) :].lstrip(b"/")
            known.add(path)
            yield msgspec.structs.replace(entry, path=path)

    count = 0
    named: list[str] = []
    if names_only:
        for _ in entries():
            pass
    else:
        for _, wrong in compare(trees, entries(), place, "", modes=False):
            heed()
            if wrong is not None and wrong.what != "missing":
                count += 1
                named.append(f"{wrong.path or show_path(os.path.basename(place))} ({wrong.why})")
                del named[NAMED:]
    for path, things in _unknown(place, known, heed):
        count += things
        if len(named) < NAMED:
            named.append(path)
    return Unsaved(count=count, named=tuple(named))


def _unknown(place: bytes, known: set[bytes], heed: Callable[[], None]) -> Iterator[tuple[str, int]]:
    """What stands below `place` by a name that is not known: a file, or a folder and how many things it holds."""
    if b"" not in known and os.path.lexists(place):
        yield show_path(os.path.basename(place)), _things(place, heed)
        return
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        for name, is_folder in _listed(os.path.join(place, folder) if folder else place):
            heed()
            path = os.path.join(folder, name) if folder else name
            if path not in known:
                things = _things(os.path.join(place, path), heed)
                if things:
                    yield show_path(path) + ("/" if is_folder else ""), things
            elif is_folder:
                waiting.append(path)


def _things(path: bytes, heed: Callable[[], None]) -> int:
    """How many files and links there are at or below a path; an empty folder counts one, a socket nothing."""
    mode = os.lstat(path).st_mode
    if stat.S_ISSOCK(mode):
        return 0
    if not stat.S_ISDIR(mode):
        return 1
    count, waiting = 0, [path]
    while waiting:
        folder = waiting.pop()
        for name, is_folder in _listed(folder):
            heed()
            if is_folder:
                waiting.append(os.path.join(folder, name))
            else:
                count += 1
    return max(count, 1)


def _listed(folder: bytes) -> list[tuple[bytes, bool]]:
    """Names in a folder, and whether each is a folder; nothing where `folder` is none. Raises OSError."""
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        return []
    with os.scandir(folder) as found:
        return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)
