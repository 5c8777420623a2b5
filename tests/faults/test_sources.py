"""Sources that are missing, go away, cannot be read, change while they are read, or have names that nobody expects."""

import json
import os
import secrets
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.broken import faulty_restic, told
from tests.conftest import MakeLab
from tests.faults.test_full_disk import room
from tests.lab import RAW, SERVING, Lab, tree

NAMES = (
    b"two\nlines",
    b"tab\there",
    b"\"double\" 'single' `back`",
    b"*?[a-z]{x}",
    b"back\\slash",
    b"--leading-dash",
    b"-",
    b" spaces around ",
    b"$HOME;$(true)|&<>!#%",
    b"not-utf8-\xff\xfe\x80",
    b"nfc-\xc3\xa9",
    b"nfd-e\xcc\x81",
    "试卷-答题卡".encode(),
    b"x" * 255,
    b"...",
    b"\x01\x7f",
    b".rw-put-0",
)


def unprivileged() -> str:
    """Shell words that run restic without root's right to read everything; nothing where we are not root."""
    if os.geteuid():
        return ""
    return "setpriv --inh-caps=-dac_override,-dac_read_search --bounding-set=-dac_override,-dac_read_search "


def runs(report: Any) -> dict[str, Any]:
    return {run["domain"]: run for run in report["job"]["domains"]}


def one_domain(lab: Lab, **more: Any) -> Path:
    """Only `exams`."""
    lab.domains = {"exams": lab.files("exams", RAW, **more)}
    lab.write_policies()
    return lab.data / "exams"


# Roots


def test_missing_root(lab: Lab) -> None:
    """A root that is not there fails its domain and no other; when all are missing the job fails."""
    lab.fill("profiles")
    (lab.data / "exams").rmdir()
    report = lab.json("backup", code=3)
    told(lab, runs(report)["exams"]["error"], "")
    assert str(lab.data / "exams") in runs(report)["exams"]["error"]["message"]
    assert (report["job"]["outcome"], runs(report)["profiles"]["outcome"]) == ("partial", "ok")
    lab.rw("backup", "--domain", "exams", code=1)
    plain = lab.rw("backup", code=3)
    assert str(lab.data / "exams") in plain.out + plain.err
    lab.fill("exams")
    lab.rw("backup")


@pytest.mark.parametrize(("restic", "when"), [("oldest", "before"), ("newest", "before"), ("oldest", "after")])
def test_root_vanishes(make_lab: MakeLab, restic_binaries: dict[str, Path], restic: str, when: str) -> None:
    """A root that goes away while restic runs is never a success, whatever restic says, nor anybody's parent."""
    lab = make_lab("local", restic=list(restic_binaries.values())[0 if restic == "oldest" else -1])
    root = one_domain(lab)
    lab.fill()
    first = runs(lab.json("backup"))["exams"]["snapshot"]
    lab.write("exams/new.bin", b"new")
    gone = f'mv "{root}" "{root}.gone"\n'
    env = faulty_restic(
        lab, f'{gone}restic "$@"; exit $?' if when == "before" else f'restic "$@"; code=$?\n{gone}exit $code'
    )
    report = lab.json("backup", code=None, env=env)
    run = runs(report)["exams"]
    assert run["outcome"] in ("partial", "failed")
    assert str(root) in json.dumps([run["missed"], run["error"]])
    root.with_name("exams.gone").rename(root)
    back = runs(lab.json("backup"))["exams"]
    assert (back["outcome"], back["parent"]) == ("ok", first)


def test_root_replaced(lab: Lab) -> None:
    """Another directory in the root's place while it is read makes the run partial."""
    root = one_domain(lab)
    lab.fill()
    first = runs(lab.json("backup"))["exams"]["snapshot"]
    script = f'mv "{root}" "{root}.old"; mkdir "{root}"; echo other > "{root}/other"\nrestic "$@"; exit $?'
    run = runs(lab.json("backup", code=3, env=faulty_restic(lab, script)))["exams"]
    assert run["outcome"] == "partial" and str(root) in run["missed"][0]
    shutil.rmtree(root)
    root.with_name("exams.old").rename(root)
    back = runs(lab.json("backup"))["exams"]
    assert (back["outcome"], back["parent"], back["files_changed"]) == ("ok", first, 0)


def test_unusual_roots(lab: Lab) -> None:
    """An empty folder, a file, a symlink to a folder and a name full of special characters are roots like others."""
    odd = "-odd [name] *? 试卷"
    (lab.data / "empty").mkdir()
    lab.write("single.json", '{"a": 1}')
    (lab.data / "link").symlink_to("target")
    for path in ("target/inside.txt", f"{odd}/inside.txt"):
        lab.write(path, secrets.token_hex(4))
    roots = {"empty": "empty", "single": "single.json", "link": "link", "odd": odd}
    lab.domains = {name: {**SERVING, "source": {"root": str(lab.data / root)}} for name, root in roots.items()}
    lab.write_policies()
    lab.rw("backup")
    assert {run["outcome"] for run in lab.json("backup")["job"]["domains"]} == {"unchanged"}
    report = lab.json("restore", "--to", "back")
    assert not any(domain["mismatches"] for domain in report["domains"])
    back = lab.folder / "back"
    assert (back / "single").read_text() == '{"a": 1}' and tree(back / "empty") == {}
    for name, root in (("link", "target"), ("odd", odd)):
        assert tree(back / name) == tree(lab.data / root)


# What cannot be read


def test_unreadable(make_lab: MakeLab, either_restic: Path) -> None:
    """What cannot be read is named, and the snapshot that lacks it counts for nothing until a complete one follows."""
    lab = make_lab("local", restic=either_restic)
    root = one_domain(lab)
    lab.fill()
    first = runs(lab.json("backup"))["exams"]["snapshot"]
    lab.write("exams/secret.bin", b"cannot be read").chmod(0)
    lab.write("exams/closed/inside.bin", b"nor can this")
    (root / "closed").chmod(0)
    env = faulty_restic(lab, f'exec {unprivileged()}"{lab.restic}" "$@"')
    report = lab.json("backup", code=3, env=env)
    run = runs(report)["exams"]
    assert (report["job"]["outcome"], run["outcome"]) == ("partial", "partial")
    assert run["missed_count"] == 2
    assert all(any(name in missed for missed in run["missed"]) for name in ("secret.bin", "closed"))
    plain = lab.rw("backup", code=3, env=env)
    assert "secret.bin" in plain.out + plain.err
    complete = {row["snapshot"]["original"]: row["complete"] for row in lab.json("snapshots")}
    assert complete[first] is True and len(complete) >= 2 and list(complete.values()).count(True) == 1
    (status,) = lab.json("status")["domains"]
    assert (status["last_outcome"], status["rpo_lag"] is not None) == ("partial", True)
    restored = lab.json("restore", "--to", "back")
    assert restored["domains"][0]["snapshot"] == first
    (root / "closed").chmod(0o755)
    (root / "secret.bin").chmod(0o644)
    back = runs(lab.json("backup"))["exams"]
    assert (back["outcome"], back["parent"]) == ("ok", first)
    assert [row["complete"] for row in lab.json("snapshots")][-1] is True


def test_rpo_counts_complete_looks_only(lab: Lab) -> None:
    """A partial look does not shorten `rpo_lag`; an unchanged one does."""
    one_domain(lab)
    lab.write("exams/secret.bin", b"x").chmod(0)
    env = faulty_restic(lab, f'exec {unprivileged()}"{lab.restic}" "$@"')
    lab.rw("backup", code=3, env=env)
    (status,) = lab.json("status")["domains"]
    assert status["rpo_lag"] is None and not status["within"]
    # Nothing changed since: as partial as before.
    lab.rw("backup", code=3, env=env)
    assert lab.json("status")["domains"][0]["rpo_lag"] is None
    (lab.data / "exams" / "secret.bin").chmod(0o644)
    lab.rw("backup")
    (status,) = lab.json("status")["domains"]
    assert status["within"]


# What is inside


def test_odd_names(make_lab: MakeLab, either_restic: Path) -> None:
    """Every name that a file system allows is backed up, listed, compared and brought back, whole and by itself."""
    lab = make_lab("local", restic=either_restic)
    root = os.fsencode(one_domain(lab))
    for number, name in enumerate(NAMES):
        Path(os.fsdecode(os.path.join(root, name))).write_bytes(b"%d" % number)
        folder = os.path.join(root, b"d", name)
        os.makedirs(folder)
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(b"inside %d" % number)
    deep = os.path.join(root, *[b"deep" * 10] * 40)
    os.makedirs(deep)
    Path(os.fsdecode(os.path.join(deep, b"end"))).write_bytes(b"down here")
    lab.rw("backup")
    rows = lab.rw("ls", "--domain", "exams", "--json").lines
    assert sum(row["kind"] == "file" for row in rows) == 2 * len(NAMES) + 1
    report = lab.json("restore", "--to", "back")
    assert report["domains"][0]["mismatches"] == []
    assert tree(lab.folder / "back" / "exams") == tree(lab.data / "exams")
    lab.rw("verify", "--share", "1", "--sample", "100")
    for number in (3, 4, 9):
        to = f"one{number}"
        lab.json("restore", os.fsdecode(NAMES[number]), "--domain", "exams", "--to", to)
        found = [path for path in (lab.folder / to).rglob("*") if path.is_file()]
        assert [file.read_bytes() for file in found] == [b"%d" % number]


def test_odd_nodes(lab: Lab) -> None:
    """Links that lead nowhere, pipes, sockets, sparse and linked files, setuid bits and old dates are no trouble."""
    root = one_domain(lab)
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    (root / "absolute").symlink_to("/etc/hostname")
    os.mkfifo(root / "pipe", 0o640)
    lab.write("exams/setuid", b"s").chmod(0o4755)
    lab.write("exams/old", b"o")
    os.utime(root / "old", ns=(1_000_000_007, 1_000_000_007))
    lab.write("exams/linked", b"l" * 5000)
    os.link(root / "linked", root / "linked-too")
    (root / "nothing").mkdir(mode=0o2775)
    (root / "zero").touch()
    with (root / "sparse").open("wb") as file:
        file.truncate(32 << 20)
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(root, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        report = lab.json("backup")
    assert runs(report)["exams"]["missed_count"] == 0
    assert lab.json("restore", "--to", "back")["domains"][0]["mismatches"] == []
    back = lab.folder / "back" / "exams"
    assert (back / "pipe").is_fifo() and not (back / "socket").exists()
    for name in ("pipe", "socket"):
        (root / name).unlink()
    (back / "pipe").unlink()
    assert tree(back) == tree(root)
    assert (back / "old").stat().st_mtime_ns == 1_000_000_007
    assert (back / "linked").stat().st_ino == (back / "linked-too").stat().st_ino
    lab.rw("verify", "--share", "1", "--sample", "50")


def test_grows_while_read(lab: Lab) -> None:
    """A file that grows while it is read is kept as it was at some moment, and comes back as that, not a byte more.

    Of these files one in five stands with a wrong size in restic's tree; tests/unit/services/test_compare.py has that
    case for sure.
    """
    root = one_domain(lab)
    names = [f"log_{number}.bin" for number in range(8)]
    for name in names:
        lab.write(f"exams/{name}", secrets.token_bytes(3_000_000))
    once = f'for f in "{root}"/log_*; do head -c 100000 /dev/urandom >> "$f"; done'
    grow = f"( for n in $(seq 40); do {once}; sleep 0.01; done ) & \n"
    lab.rw("backup", env=faulty_restic(lab, f'{grow}restic "$@"; code=$?; wait; exit $code'))
    assert lab.json("restore", "--to", "back")["domains"][0]["mismatches"] == []
    for name in names:
        kept = (lab.folder / "back" / "exams" / name).read_bytes()
        assert len(kept) >= 3_000_000 and (root / name).read_bytes().startswith(kept)
    lab.rw("verify", "--sample", "8")


def test_excludes(lab: Lab) -> None:
    """Patterns of the policy are left out, and our own staging folders always are."""
    root = one_domain(lab, excludes=["*.tmp", "cache/**"])
    own = (".rw-restore-restore_x/half.txt", ".rw-beside-restore_y/half.txt")
    for name in ("keep.txt", "drop.tmp", "sub/drop.tmp", "cache/a/b.txt", *own):
        lab.write(f"exams/{name}", name)
    lab.rw("backup")
    kept = {row["path"] for row in lab.rw("ls", "--domain", "exams", "--json").lines if row["kind"] == "file"}
    assert kept == {"keep.txt"}
    assert root.exists()


# Change that nobody sees


def test_bit_rot(lab: Lab) -> None:
    """Bytes that changed under an unchanged date and size are reported by a full; an incremental cannot see them.

    A program that puts the date back still moves ctime, which restic looks at; a disk that rots moves nothing. The
    wrapper stands for such a disk.
    """
    root = one_domain(lab)
    lab.fill()
    lab.rw("backup")
    rotten = root / "exam_001.bin"
    before = rotten.stat()
    rotten.write_bytes(rotten.read_bytes()[:-1] + b"?")
    os.utime(rotten, ns=(before.st_atime_ns, before.st_mtime_ns))
    lab.write("exams/new.bin", b"so that there is a snapshot")
    told = 'for a in "$@"; do all+=("$a"); [ "$a" = backup ] && all+=(--ignore-ctime); done'
    env = faulty_restic(lab, f'{told}\nrestic "${{all[@]}}"; exit $?')
    incremental = runs(lab.json("backup", env=env))["exams"]
    assert (incremental["bitrot"], incremental["files_changed"]) == ([], 0)
    full = lab.rw("backup", "--type", "full", env=env)
    assert "exam_001.bin" in full.out + full.err
    run = lab.json("manifest", "show", "latest", "--no-objects")["domains"][0]["run"]
    assert (run["bitrot_count"], run["bitrot"]) == (1, []), "a sealed manifest names no file"
    with lab.house() as built:
        (newest,) = built.catalog.jobs("main", kind="backup", limit=1)
    assert newest.domains[0].bitrot == ("exams/exam_001.bin",)


# Side by side


def test_overlapping_roots_take_turns(lab: Lab) -> None:
    """Domains of which one lies inside the other never run side by side; independent ones do."""
    lab.fill("exams")
    lab.fill("profiles")
    lab.write("exams/sub/x.bin", b"x")
    lab.domains["inner"] = {**SERVING, "source": {"root": str(lab.data / "exams" / "sub")}}
    lab.target["parallel"] = 4
    lab.write_policies()
    log = lab.folder / "log"
    script = (
        f'name="${{@: -1}}"; echo "+ $name" >> "{log}"; sleep 1\n'
        f'restic "$@"; code=$?\necho "- $name" >> "{log}"\nexit $code'
    )
    lab.rw("backup", env=faulty_restic(lab, script))
    running: set[str] = set()
    together: set[frozenset[str]] = set()
    for line in log.read_text().splitlines():
        (running.add if line[0] == "+" else running.discard)(line[2:])
        together.add(frozenset(running))
    assert any(len(names) > 1 for names in together)
    assert not any({"exams", "sub"} <= names for names in together)


def test_a_disk_below_the_root_that_is_not_mounted(lab: Lab) -> None:
    """It was mounted at the last complete backup and stands empty: partial, named, and no new parent, until it is back
    or a person says that it is right."""
    root = one_domain(lab)
    lab.write("exams/readme", "r")
    with room(lab, root / "disk", "4m") as disk:
        disk.sh(f"echo 1 > '{root}/disk/1'")
        disk.rw("backup")
        for _ in range(2):
            report = lab.json("backup", code=3)
            (missed,) = runs(report)["exams"]["missed"]
            assert runs(report)["exams"]["outcome"] == "partial"
            assert str(root / "disk") in missed and "mounted" in missed and "allow_empty" in missed
        disk.rw("backup")
    (root / "disk" / "now it lies here").write_text("1")
    lab.rw("backup")
    (root / "disk" / "now it lies here").unlink()
    lab.rw("backup")
    with room(lab, root / "disk", "4m") as disk:
        disk.rw("backup")
    lab.rw("backup", code=3)
    one_domain(lab, allow_empty=True)
    lab.rw("backup")
    one_domain(lab)
    lab.rw("backup")
