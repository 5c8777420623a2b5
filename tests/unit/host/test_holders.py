"""Who uses something below a path."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from resticwrap.host import holders, mounts, space
from resticwrap.host.mounts import Mount

HOLD = {
    "fd": "f = open(sys.argv[1] + '/file')",
    "cwd": "os.chdir(sys.argv[1] + '/sub')",
    "map": "f = open(sys.argv[1] + '/file', 'r+b'); m = mmap.mmap(f.fileno(), 0); f.close()",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A name with a space, a backslash, a newline and a byte that is no UTF-8."""
    place = tmp_path / "da ta\\\n\udcff"
    (place / "sub").mkdir(parents=True)
    (place / "file").write_bytes(b"x" * mmap.PAGESIZE)
    return place


@pytest.mark.parametrize("what", HOLD)
def test_another_process(place: Path, what: str) -> None:
    """Open files, working folders and mapped files are found, and are not found beside it."""
    code = f"import mmap, os, sys\n{HOLD[what]}\nprint(flush=True)\nsys.stdin.read()"
    argv = [sys.executable, "-c", code, str(place)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as child:
        assert child.stdout is not None
        child.stdout.readline()
        report = holders.find(place)
        beside = place.with_name("da ta")
        beside.mkdir()
        assert not holders.find(beside).holders
        child.stdin.close()  # type: ignore[union-attr]
    uses = {(one.pid, one.what) for one in report.holders}
    # Python keeps a duplicate of a mapped file's descriptor.
    assert (child.pid, what) in uses or (what == "map" and (child.pid, "fd") in uses)
    assert {one.pid for one in report.holders} == {child.pid}
    assert not holders.find(place).holders


def test_ourselves_and_nobody(place: Path) -> None:
    """Our own files do not count, and nobody uses what is not there."""
    with (place / "file").open():
        assert holders.find(place).holders == ()
    assert holders.find(place / "missing").holders == ()


def test_in_another_mount_namespace(place: Path) -> None:
    """A container that has the place as its volume: its open file has another path there, its mount counts as well."""
    code = "import sys; f = open('/mnt/file'); print(flush=True); sys.stdin.read()"
    argv = ["unshare", "-rm", "sh", "-c", 'mount --bind "$1" /mnt && cd / && exec "$2" -c "$3"', "sh"]
    with subprocess.Popen(
        [*argv, str(place), sys.executable, code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = holders.find(place).holders
        stays = holders.find(place, renamed=False).holders
        child.stdin.close()  # type: ignore[union-attr]
    assert {(one.pid, one.what, one.path) for one in found} == {
        (child.pid, "mount", "/mnt"),
        (child.pid, "fd", "/mnt/file"),
    }
    assert {one.what for one in stays} == {"fd"}


def test_locate() -> None:
    """The innermost mount decides, a later one covers an earlier one, names are compared whole."""
    table = (
        Mount(b"8:1", b"/", b"/"),
        Mount(b"8:2", b"/vol", b"/srv/data"),
        Mount(b"8:3", b"/", b"/srv/data"),
    )
    assert mounts.locate(table, b"/srv/data/a") == (b"8:3", b"/a")
    assert mounts.locate(table, b"/srv/data") == (b"8:3", b"/")
    assert mounts.locate(table, b"/srv/data2") == (b"8:1", b"/srv/data2")
    assert mounts.locate((), b"/srv") is None
    assert mounts.below(table, b"/srv") == (b"/srv/data", b"/srv/data")
    assert mounts.below(table, b"/srv/data") == ()


def test_mountinfo() -> None:
    """Optional fields are passed over and escapes undone."""
    text = b"36 35 98:0 /r\\040x /mnt\\134\\012y rw,noatime master:1 - ext3 /dev/root rw\nshort line\n"
    assert mounts.parse(text) == (Mount(b"98:0", b"/r x", b"/mnt\\\ny"),)
    assert mounts.unescape(b"a\\9zz\\") == b"a\\9zz\\"


def test_space(tmp_path: Path) -> None:
    """Asked of the nearest parent that exists."""
    deep = tmp_path / "not" / "there"
    assert space.nearest(deep) == tmp_path
    assert 0 < space.free_bytes(deep) <= space.total_bytes(deep)
    assert space.device(deep) == os.stat(tmp_path).st_dev == space.HostSpace().device(deep)
    assert space.HostSpace().free(deep) > 0
    assert space.is_mount(Path("/proc")) and not space.is_mount(tmp_path)
