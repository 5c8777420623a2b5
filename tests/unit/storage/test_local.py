"""What a folder does when the disk, or somebody else, is in the way."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resticwrap import errors
from resticwrap.storage import local
from resticwrap.storage.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, errors.DiskFull),
        (errno.EDQUOT, errors.DiskFull),
        (errno.EROFS, errors.TargetRefused),
        (errno.EACCES, errors.TargetRefused),
        (errno.EIO, errors.TargetUnreachable),
        (errno.ESTALE, errors.TargetUnreachable),
        (errno.EFBIG, errors.Failure),
    ],
)
def test_a_put_that_fails_leaves_nothing(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[errors.Failure]
) -> None:
    """What was there stays whole, no half file is left, and the error says which trouble it was."""
    store.put("a/key", b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(number))
        with pytest.raises(kind) as caught:
            store.put("a/key", b"after")
    assert type(caught.value) is kind
    assert store.get("a/key") == b"before"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["key"]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EACCES, errors.TargetRefused), (errno.EIO, errors.TargetUnreachable)]
)
def test_probe(store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[errors.Failure]) -> None:
    """A folder that is there and cannot be listed."""
    monkeypatch.setattr(os, "scandir", failing(number))
    with pytest.raises(kind):
        store.probe()


def test_without_hard_links(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On FAT and its like put-if-absent holds too, and leaves nothing else."""
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    store.put("key", b"first", if_absent=True)
    with pytest.raises(errors.ObjectExists):
        store.put("key", b"second", if_absent=True)
    assert store.get("key") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_half_written_files_are_no_objects(store: LocalStore, tmp_path: Path) -> None:
    """What a crash left behind is not listed, and neither are names that cannot be keys or links."""
    store.put("a/key", b"x")
    (tmp_path / "a" / f"{local.TEMPORARY}0123").write_bytes(b"half")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "linked").symlink_to(tmp_path / "a" / "key")
    os.mkfifo(tmp_path / "fifo")
    with open(os.fsencode(tmp_path) + b"/\xff", "wb"):
        pass
    assert [found.key for found in store.list("")] == ["a/key"]


def test_links_do_not_lead_out(store: LocalStore, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A symbolic link inside the folder is no way out of it; the folder itself may be one."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_bytes(b"x")
    (tmp_path / "out").symlink_to(outside)
    for call in (store.get, store.delete, lambda key: store.put(key, b"y")):
        with pytest.raises(errors.UsageError):
            call("out/secret")
    assert (outside / "secret").read_bytes() == b"x"
    through = tmp_path_factory.mktemp("links") / "target"
    through.symlink_to(tmp_path)
    LocalStore(through).put("key", b"x")
    assert store.get("key") == b"x"


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    """It is not made, not written over, and not taken for a folder."""
    (tmp_path / "file").write_bytes(b"x")
    store = LocalStore(tmp_path / "file")
    with pytest.raises(errors.NoRepository):
        store.probe()
    with pytest.raises(errors.Failure):
        store.create()
    with pytest.raises(errors.NoRepository):
        store.put("key", b"y")
    assert (tmp_path / "file").read_bytes() == b"x"


def test_only_the_owner_reads(store: LocalStore, tmp_path: Path) -> None:
    """Files and folders are made for the owner alone."""
    store.put("a/key", b"x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "key").stat().st_mode & 0o777 == 0o600
