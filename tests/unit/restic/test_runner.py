"""How restic is started: what it is told and by which way, who is asked in trouble, who is waited for."""

import dataclasses
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from resticwrap import errors
from resticwrap.ports import ResticAccess, Store
from resticwrap.restic.runner import INHERITED, MISSED_KEPT, Runner, descriptor
from tests.conftest import MakeLab
from tests.lab import PASSWORD, Lab
from tests.unit.restic.scene import repository_of, request, runner_of, script

DUMP = """\
tr '\\0' '\\n' < /proc/$$/environ >> "$HOME/dump-env"
tr '\\0' '\\n' < /proc/$$/cmdline >> "$HOME/dump-argv"
exec {restic} "$@"
"""
FOREIGN = {
    "RESTIC_PASSWORD": "an-inherited-password",
    "RESTIC_REPOSITORY": "/an/inherited/repository",
    "RESTIC_KEY_HINT": "an-inherited-hint",
    "AWS_SECRET_ACCESS_KEY": "an-inherited-aws-secret",
    "RW_SOMETHING": "an-inherited-word",
    "LD_PRELOAD_OF_SOMEBODY": "an-inherited-library",
}


def dumped(lab: Lab) -> tuple[str, str]:
    """What every restic of a whole round was given: environment and arguments."""
    wrapper = script(lab.folder, DUMP.format(restic=lab.restic))
    env = {**FOREIGN, "RW_RESTIC": str(wrapper)}
    lab.write("exams/a", "a")
    for command in (["backup"], ["verify"], ["restore", "--to", str(lab.folder / "back")]):
        lab.rw(*command, env=env)
    return (lab.folder / "dump-env").read_text(), (lab.folder / "dump-argv").read_text()


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_no_secret_in_arguments_and_nothing_inherited(kind: str, make_lab: MakeLab) -> None:
    """The password is in no argument and no variable of restic, only behind a descriptor; of our own environment it
    gets an allow-list, and a bucket's secret key is in no argument."""
    lab = make_lab(kind)
    environ, argv = dumped(lab)
    assert argv.count("\nbackup\n") == 2 and "\ncheck\n" in argv and "\nrestore\n" in argv
    assert PASSWORD not in environ + argv
    assert "an-inherited" not in environ + argv
    names = {line.partition("=")[0] for line in environ.splitlines()}
    ours = {"RESTIC_PASSWORD_FILE", "RESTIC_COMPRESSION", "RESTIC_PROGRESS_FPS"}
    store = {name for name in names if name.startswith("AWS_")}
    assert names <= {*INHERITED, *ours, *store} and bool(store) == (kind == "s3")
    files = {line.partition("=")[2] for line in environ.splitlines() if line.startswith("RESTIC_PASSWORD_FILE=")}
    assert files and all(file.startswith("/dev/fd/") for file in files)
    for secret in (lab.env.get("LAB_SECRET"), lab.env.get("LAB_KEY")):
        assert secret is None or secret not in argv


def test_a_password_can_be_read_any_number_of_times() -> None:
    """restic opens it again for the other repository of `init --copy-chunker-params`."""
    with descriptor(b"hunter2") as fd:
        assert [Path(f"/dev/fd/{fd}").read_bytes() for _ in range(2)] == [b"hunter2", b"hunter2"]
    assert not Path(f"/proc/self/fd/{fd}").exists() or "resticwrap" not in str(Path(f"/proc/self/fd/{fd}").readlink())


def test_what_restic_is_told(lab: Lab) -> None:
    """Options of the store, limits of the policy, and the environment of both."""
    show = script(lab.folder, 'printf "%s\\n" "$@" ; env')
    access = ResticAccess(base="", options=("s3.region=x",), env={"AWS_X": "y"}, ca_file=Path("/ca"))
    limits = {"upload": 5, "download": 6, "pack_size": 64, "compression": "max"}
    with runner_of(lab, binary=show, access=lambda: access, limits=limits) as runner:
        result, _ = runner.run(["snapshots"])
    said = result.stdout.decode()
    for words in (["-o", "s3.region=x"], ["--cacert", "/ca"], ["--limit-upload", "5"], ["--limit-download", "6"]):
        assert "\n".join(words) + "\n" in said
    assert "\n--json\n" in said
    for line in ("AWS_X=y", "RESTIC_PACK_SIZE=64", "RESTIC_COMPRESSION=max"):
        assert line in said.splitlines()


class Probed:
    """A store that answers a probe as it is told; nothing else is asked of it here."""

    def __init__(self, answer: errors.Failure | None) -> None:
        self.answer, self.probes = answer, 0

    def probe(self) -> None:
        self.probes += 1
        if self.answer:
            raise self.answer


@contextmanager
def in_trouble(lab: Lab, body: str, answer: errors.Failure | None, **changed: Any) -> Iterator[tuple[Runner, Probed]]:
    """A restic that says something, over a store that answers so; the grace is short."""
    store = Probed(answer)
    changed = {"limits": {"grace": 0.3}, **changed}
    with runner_of(lab, binary=script(lab.folder, body), store=cast(Store, store), **changed) as runner:
        yield runner, store


RETRY = "echo 'Stat(<config/>) returned error, retrying after 1.3s: dial tcp: refused' >&2; sleep 30"


def test_a_retry_line_asks_the_target(lab: Lab) -> None:
    """restic retries a refusal for a quarter of an hour; the target's own answer ends it in a moment."""
    started = time.monotonic()
    refusal = errors.TargetRefused("The key is not known.")
    with in_trouble(lab, RETRY, refusal) as (runner, store), pytest.raises(errors.TargetRefused, match="not known"):
        runner.run(["snapshots"])
    assert time.monotonic() - started < 10 and store.probes == 1


def test_silence_is_borne_for_the_grace(lab: Lab) -> None:
    """A target that does not answer is noted once and waited for; then the run is given up."""
    notes: list[str] = []
    silence = errors.TargetUnreachable("Nobody.")
    with (
        in_trouble(lab, RETRY, silence, note=notes.append) as (runner, store),
        pytest.raises(errors.TargetUnreachable),
    ):
        runner.run(["snapshots"])
    assert store.probes >= 2 and len(notes) == 1 and "does not answer" in notes[0]


def test_messages_are_no_trouble(lab: Lab) -> None:
    """What restic says in JSON asks nobody, and neither does a target that answers end a run."""
    json_error = """echo '{"message_type":"error","error":{"message":"m"},"item":"i"}' >&2; sleep 0.8"""
    with in_trouble(lab, json_error, errors.TargetRefused("No."), limits={}) as (runner, store):
        _, heard = runner.run(["snapshots"])
    assert store.probes == 0 and [item.item for item in heard.missed] == ["i"]
    with in_trouble(lab, "echo 'retrying after 1s' >&2; sleep 0.8", None) as (runner, store):
        runner.run(["snapshots"])
    assert store.probes >= 1


def test_missed_items_are_counted_and_bounded(lab: Lab) -> None:
    """A million unreadable files do not fill the memory."""
    line = '{"message_type":"error","error":{"message":"m"},"during":"archival","item":"i"}'
    with runner_of(lab, binary=script(lab.folder, f"yes '{line}' | head -{MISSED_KEPT + 7} >&2")) as runner:
        _, heard = runner.run(["snapshots"])
    assert (len(heard.missed), heard.missed_count) == (MISSED_KEPT, MISSED_KEPT + 7)


def test_what_restic_says_last_is_masked(lab: Lab) -> None:
    """A secret that an error repeats is shown to nobody."""
    say = """echo '{"message_type":"exit_error","code":1,"message":"Fatal: cannot use %s\\nstack"}' >&2; exit 1"""
    with (
        runner_of(lab, binary=script(lab.folder, say % PASSWORD)) as runner,
        pytest.raises(errors.ResticFailed) as caught,
    ):
        runner.run(["snapshots"])
    assert caught.value.message.endswith("cannot use ****.") and "stack" not in caught.value.message


@pytest.mark.parametrize("which", ["missed", "said"])
def test_wrong_types_on_stderr_fail_in_words(which: str, lab: Lab) -> None:
    """A message that is none ends the run with a sentence."""
    kind = {"missed": '{"message_type":"error","error":5}', "said": '{"message_type":"exit_error","message":5}'}[which]
    with (
        runner_of(lab, binary=script(lab.folder, f"echo '{kind}' >&2")) as runner,
        pytest.raises(errors.ResticFailed, match="does not understand"),
    ):
        runner.run(["snapshots"])


def test_a_lock_is_waited_for_and_told_of(lab: Lab) -> None:
    """Again and again until the wait is over; what is ours and dead is removed without waiting."""
    count = 'echo x >> "$HOME/tries"; [ $(wc -l < "$HOME/tries") -ge %d ] && exit 0; exit 11'
    notes: list[str] = []
    with runner_of(lab, binary=script(lab.folder, count % 2), note=notes.append) as runner:
        runner.run(["snapshots"], wait=10)
    assert len(notes) == 1 and "locked by somebody else" in notes[0]
    (lab.folder / "tries").unlink()
    removed: list[int] = []

    def remove() -> bool:
        removed.append(1)
        return True

    with runner_of(lab, remove, binary=script(lab.folder, count % 3), note=notes.append) as runner:
        runner.run(["snapshots"], wait=0)
    assert len(removed) == 2 and len(notes) == 1
    with runner_of(lab, binary=script(lab.folder, "exit 11")) as runner, pytest.raises(errors.Locked):
        runner.run(["snapshots"], wait=0)


def test_cancelled_while_a_lock_is_waited_for(lab: Lab) -> None:
    """Nobody waits half an hour for a wish to stop."""
    with runner_of(lab, binary=script(lab.folder, "exit 11")) as runner:
        runner.setting = dataclasses.replace(runner.setting, note=lambda _: runner.setting.cancel.set())
        with pytest.raises(errors.Interrupted):
            runner.run(["snapshots"], wait=1800)


def test_a_full_disk_is_named(lab: Lab) -> None:
    """A failure where hardly a byte is free is put down to that, whatever restic says."""
    failing = script(lab.folder, "exit 1")
    with runner_of(lab, binary=failing, free=lambda _: 1 << 20) as full, pytest.raises(errors.DiskFull, match="1 MiB"):
        full.run(["snapshots"])


def test_leases_are_not_left_behind(lab: Lab) -> None:
    """After a clean end there is nothing to judge a lock by, and need not be."""
    lab.write("exams/a", secrets.token_bytes(100))
    with repository_of(lab) as repository:
        repository.backup(request(lab), lambda _: None)
        assert repository._setting.locks.leases(repository.url) == []


def test_limits_of_the_policy(make_lab: MakeLab) -> None:
    """What targets.yaml says is what restic runs with."""
    lab = make_lab("local", ready=False, limit_upload=7, limit_download=8, pack_size=32, nice=3, deadline="2h")
    with runner_of(lab) as runner:
        found: Mapping[str, Any] = dataclasses.asdict(runner.setting.limits)
    assert (found["upload"], found["download"], found["pack_size"], found["nice"]) == (7, 8, 32, 3)
    assert found["deadline"] == 7200


def test_without_room_and_standing_still(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """restic 0.18.0 retries in silence where its cache is full: it is stopped as soon as it has stood still for a
    while, and what it prints does not matter. One that works is left alone, however little room there is."""
    monkeypatch.setattr("resticwrap.restic.runner.STILL_AFTER", 0.6)
    still = script(lab.folder, 'while :; do echo \'{"message_type":"status"}\'; sleep 0.2; done')
    with runner_of(lab, binary=still, free=lambda _: 0) as runner, pytest.raises(errors.DiskFull):
        runner.run(["backup"])
    busy = script(lab.folder, "end=$((SECONDS + 3)); while [ $SECONDS -lt $end ]; do :; done")
    with runner_of(lab, binary=busy, free=lambda _: 0) as runner:
        result, _ = runner.run(["backup"])
    assert result.code == 0
