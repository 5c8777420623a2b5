"""The verbs of a repository: what restic is asked for, and what its answers become."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from resticwrap import errors
from resticwrap.ports import Progress
from resticwrap.restic.repository import OWN_STAGING, _backup_command, _literal
from tests.lab import Lab
from tests.unit.restic.scene import TAGS, repository_of, request, script

FILTER = 'set -o pipefail\n{restic} "$@" | sed \'/"message_type":"{kind}"/d\''
REPLACE = "set -o pipefail\n{restic} \"$@\" | sed 's/{old}/{new}/'"


def nothing(progress: Progress) -> None:
    """Nobody looks on."""


def test_command_of_a_backup(lab: Lab) -> None:
    """Tags, host, parent; a full reads everything again, a look against a parent skips what is unchanged."""
    full = _backup_command(request(lab, force=True, excludes=("*.tmp",)))
    assert full[:3] == ["backup", "--host", "lab"] and full[-2:] == ["--", b"exams"]
    assert "--force" in full and "--parent" not in full and "--skip-if-unchanged" not in full
    assert [full[n + 1] for n, word in enumerate(full) if word == "--exclude"] == [*OWN_STAGING, "*.tmp"]
    assert f"domain={TAGS.domain}" in full
    again = _backup_command(request(lab, parent="p", skip_if_unchanged=True, dry_run=True))
    assert again[again.index("--parent") + 1] == "p" and {"--skip-if-unchanged", "--dry-run"} <= set(again)
    assert "--force" not in again
    # restic would look for a parent of its own, which may be a partial one.
    assert "--force" in _backup_command(request(lab, skip_if_unchanged=True))


def test_backup_and_what_it_answers(lab: Lab) -> None:
    """A snapshot with our tags and its numbers; unchanged, none; a dry run, none that it names."""
    lab.write("exams/a", secrets.token_bytes(5000))
    seen: list[Progress] = []
    with repository_of(lab) as repository:
        dry = repository.backup(request(lab, dry_run=True), nothing)
        assert (dry.snapshot, dry.files, dry.size) == (None, 1, 5000)
        assert repository.snapshots() == []
        made = repository.backup(request(lab), seen.append)
        assert made.complete and made.snapshot and (made.files, made.files_new, made.size) == (1, 1, 5000)
        assert made.added > 5000 and made.missed == ()
        (listed,) = repository.snapshots()
        assert listed == repository.snapshot(made.snapshot) and listed.tags == TAGS and listed.host == "lab"
        assert repository.holds(made.snapshot) and not repository.holds("0" * 64)
        same = repository.backup(request(lab, parent=made.snapshot, skip_if_unchanged=True), nothing)
        assert same.complete and same.snapshot is None
        ours = list(repository.entries(listed.id, listed.tree))
        assert list(repository.entries_by_find(listed.id))[1].content == ours[1].content


@pytest.mark.parametrize("command", ["backup", "restore", "check"])
def test_no_summary_no_success(command: str, lab: Lab) -> None:
    """A streaming command that exits 0 without its summary has failed."""
    lab.write("exams/a", "a")
    with repository_of(lab) as repository:
        snapshot = repository.backup(request(lab), nothing).snapshot
        assert snapshot
    mute = script(lab.folder, FILTER.format(restic=lab.restic, kind="summary"))
    with repository_of(lab, binary=mute) as repository:
        verbs: dict[str, Callable[[], object]] = {
            "backup": lambda: repository.backup(request(lab), nothing),
            "restore": lambda: repository.restore(snapshot, lab.folder / "back"),
            "check": lambda: repository.check(bucket=None, parts=1),
        }
        with pytest.raises(errors.ResticFailed, match="without its summary"):
            verbs[command]()


def test_new_messages_and_fields_are_ignored(lab: Lab) -> None:
    """A newer restic may say more, in places that we read."""
    lab.write("exams/a", "a")
    more = script(
        lab.folder,
        'echo \'{"message_type":"brand_new","x":[1]}\'; echo \'[]\'; echo plain\n'
        'echo \'{"message_type":"new"}\' >&2\n'
        + REPLACE.format(restic=lab.restic, old="^{", new='{"brand_new":{"deep":[1]},'),
    )
    with repository_of(lab, binary=more) as repository:
        assert repository.backup(request(lab), nothing).complete
        assert repository.check(bucket=1, parts=1).errors == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [('"total_files_processed":1', '"total_files_processed":"one"'), ('"snapshot_id":"', '"snapshot_id":5,"x":"')],
)
def test_wrong_types_fail_in_words(old: str, new: str, lab: Lab) -> None:
    """At the very message, with a sentence; nothing is taken for granted."""
    lab.write("exams/a", "a")
    binary = script(lab.folder, REPLACE.format(restic=lab.restic, old=old, new=new))
    with (
        repository_of(lab, binary=binary) as repository,
        pytest.raises(errors.ResticFailed, match="BackupSummary") as caught,
    ):
        repository.backup(request(lab), nothing)
    assert "rw doctor" in caught.value.hint


def test_exit_three_is_partial_and_names_what_was_missed(lab: Lab) -> None:
    """Never a success, whatever the summary says."""
    lab.write("exams/a", "a")
    line = json.dumps(
        {"message_type": "error", "error": {"message": "denied"}, "during": "archival", "item": "/exams/b"}
    )
    partial = script(lab.folder, f"{lab.restic} \"$@\" && echo '{line}' >&2 && exit 3")
    with repository_of(lab, binary=partial) as repository:
        done = repository.backup(request(lab), nothing)
        assert not done.complete and done.snapshot and done.missed_count == 1
        assert (done.missed[0].item, done.missed[0].message) == ("/exams/b", "denied")
        with pytest.raises(errors.ResticFailed):
            repository.snapshots()
    spoken = script(lab.folder, f"{lab.restic} \"$@\"; echo '{line}' >&2")
    with repository_of(lab, binary=spoken) as repository:
        assert [item.item for item in repository.backup(request(lab), nothing).missed] == ["/exams/b"]
    # An item was missed, though restic exits 0: the domain is partial all the same.
    (run,) = lab.json("backup", "--domain", "exams", env={"RW_RESTIC": str(spoken)}, code=3)["job"]["domains"]
    assert (run["outcome"], run["missed"]) == ("partial", ["/exams/b: denied"])


NAMES = [b"plain", b"star*", b"what?", b"[a-z]", b"back\\slash", b"!not", b"$HOME", b"#x", b" space ", b"new\nline"]


def test_restore_takes_paths_literally(lab: Lab) -> None:
    """Characters that mean something in restic's patterns mean themselves, and select no neighbour."""
    for name in [*NAMES, b"starry", b"whats", b"b", b"not"]:
        with open(os.path.join(os.fsencode(lab.data / "exams"), name), "wb"):
            pass
    with repository_of(lab) as repository:
        snapshot = repository.backup(request(lab), nothing).snapshot
        assert snapshot
        for number, names in enumerate(([b"star*"], [b"[a-z]"], NAMES)):
            back = lab.folder / f"back{number}"
            result = repository.restore(snapshot, back, [b"exams/" + name for name in names])
            assert sorted(os.listdir(os.fsencode(back / "exams"))) == sorted(names), names
            assert result.failed == ()
    assert _literal(b"a*b") == b"a\\*b"


def test_damage_is_a_result(lab: Lab) -> None:
    """A check reads the part that it is asked for, and a damaged pack is named, not raised."""
    lab.write("exams/a", secrets.token_bytes(3000))
    with repository_of(lab) as repository:
        repository.backup(request(lab), nothing)
        fine = repository.check(bucket=1, parts=1)
        assert (fine.errors, fine.broken_packs) == (0, ())
        pack = max((lab.store / lab.namespace / "hot" / "data").rglob("*/*"), key=lambda file: file.stat().st_size)
        pack.chmod(0o600)
        content = bytearray(pack.read_bytes())
        content[100] ^= 1
        pack.write_bytes(content)
        hurt = repository.check(bucket=1, parts=1)
        assert hurt.errors and hurt.broken_packs == (pack.name,)


def test_a_check_that_cannot_run_raises(lab: Lab) -> None:
    """Only damage is a result."""
    with repository_of(lab, password=lambda: "not it") as repository, pytest.raises(errors.WrongPassword):
        repository.check(bucket=None, parts=1)


def test_identity(lab: Lab, tmp_path: Path) -> None:
    """The id that restic knows, a digest that changes with the config, no repository where none is."""
    with repository_of(lab) as repository:
        pin = repository.config()
        assert pin.repository_id == json.loads(lab.bare("cat", "config").stdout)["id"]
        assert pin.config_digest == repository.config_digest() and pin.tier == "hot"
    with repository_of(lab, prefix="nowhere/hot") as repository, pytest.raises(errors.NoRepository):
        repository.config_digest()


def test_a_damaged_snapshot_is_no_snapshot(lab: Lab) -> None:
    """Bytes that do not hash to their name are not read."""
    lab.write("exams/a", "a")
    with repository_of(lab) as repository:
        snapshot = repository.backup(request(lab), nothing).snapshot
        assert snapshot
        for place in (lab.store, lab.folder / "cache"):
            for file in place.rglob(snapshot):
                file.chmod(0o600)
                file.write_bytes(b"x" + file.read_bytes()[1:])
        with pytest.raises(errors.Damaged, match=snapshot[:8]):
            repository.snapshot(snapshot)
