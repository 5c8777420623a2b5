"""Targets that do not answer, refuse, are not what they were, or go away in the middle of a job."""

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.broken import job_error, refused, told, wait_for
from tests.conftest import MakeLab
from tests.lab import PASSWORD, Lab
from tests.servers.child import free_ports
from tests.servers.oss import OssServer, start_oss
from tests.servers.proxy import TcpProxy
from tests.servers.weed import S3Server

BUCKETS = ("s3", "oss")
COMMANDS = (["backup"], ["verify"], ["restore", "--to", "back"], ["snapshots"])


def works(lab: Lab) -> None:
    """The next backup and its verify succeed."""
    lab.rw("backup")
    lab.rw("verify", "--share", "1")


# Passwords


@pytest.mark.parametrize("kind", ["local", "s3", "oss"])
def test_wrong_password(make_lab: MakeLab, kind: str) -> None:
    """A wrong password is said to be one, by every command, and nothing is written."""
    lab = make_lab(kind)
    lab.fill()
    wrong = lab.folder / "wrong"
    wrong.write_text("not the password at all")
    env = {"RESTIC_PASSWORD_FILE": str(wrong)}
    for command in COMMANDS if kind == "local" else COMMANDS[:1]:
        error = refused(lab, *command, code=12, kind="WrongPassword", env=env)
        assert "not the password at all" not in json.dumps(error)
    assert lab.json("snapshots", "--target", "main") == []
    works(lab)


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_no_password(lab: Lab, content: str | None) -> None:
    """A password file that is missing or empty is told by its name."""
    file = lab.folder / "elsewhere"
    if content is not None:
        file.write_text(content)
    refused(lab, "backup", code=12, kind="WrongPassword", env={"RESTIC_PASSWORD_FILE": str(file)})


# Repositories


@pytest.mark.parametrize("kind", ["local", "s3", "oss"])
def test_no_repository(make_lab: MakeLab, kind: str) -> None:
    """Before `rw init`, every command says so and names it."""
    lab = make_lab(kind, ready=False)
    for command in (*COMMANDS, ["restore", "--in-place"], ["ls"], ["manifest", "show", "latest"], ["unlock"]):
        error = refused(lab, *command, code=10, kind="NoRepository")
        assert "rw init" in error["hint"], command
        if kind != "local":
            break
    assert not lab.json("history")["jobs"], "what could not even begin is no job that failed"


@pytest.mark.parametrize("kind", ["local", "s3", "oss"])
def test_empty_where_one_was(make_lab: MakeLab, kind: str) -> None:
    """An empty bucket where the pinned repository was is refused, by `rw init` too: data went to another place."""
    lab = make_lab(kind)
    lab.fill()
    lab.rw("backup")
    with lab.house() as built:
        kept = {item.key: built.store.get(item.key) for item in built.store.list("")}
        for key in kept:
            built.store.delete(key)
    for command in (["backup"], ["init"], ["verify"], ["restore", "--to", "back"])[: 4 if kind == "local" else 1]:
        error = refused(lab, *command, code=10, kind="NoRepository")
        assert "pinned" in error["message"] and "rw policy show" in error["hint"]
    with lab.house() as built:
        assert list(built.store.list("")) == []
        for key, content in kept.items():
            built.store.put(key, content)
    works(lab)


@pytest.mark.parametrize("kind", ["local", "oss"])
def test_hot_and_cold_swapped(make_lab: MakeLab, kind: str) -> None:
    """Another repository than the pinned one is refused even where the password opens it."""
    lab = make_lab(kind)
    lab.fill()

    def swap() -> None:
        with lab.house() as built:
            hot, cold = (
                {item.key: built.store.get(item.key) for item in built.store.list(f"{lab.namespace}/{tier}/")}
                for tier in ("hot", "cold")
            )
            for key in (*hot, *cold):
                built.store.delete(key)
            for key, content in hot.items():
                built.store.put(key.replace("/hot/", "/cold/"), content)
            for key, content in cold.items():
                built.store.put(key.replace("/cold/", "/hot/"), content)

    swap()
    error = refused(lab, "backup", code=10, kind="OtherRepository")
    assert "pinned" in error["message"]
    refused(lab, "init", code=10, kind="OtherRepository")
    refused(lab, "catalog", "rebuild", code=10, kind="OtherRepository")
    swap()
    works(lab)


def test_another_repository(make_lab: MakeLab) -> None:
    """A repository that somebody made anew in the same place is not ours."""
    lab = make_lab("local")
    lab.fill()
    lab.rw("backup")
    shutil.move(lab.store, lab.folder / "ours")
    other = make_lab("local", ready=False, path=str(lab.store))
    other.rw("init")
    refused(lab, "backup", code=10, kind="OtherRepository")
    refused(lab, "restore", "--to", "back", code=10, kind="OtherRepository")
    shutil.rmtree(lab.store)
    shutil.move(lab.folder / "ours", lab.store)
    works(lab)


def test_local_folder_gone(make_lab: MakeLab) -> None:
    """A disk that is not mounted is no empty repository."""
    lab = make_lab("local")
    lab.fill()
    lab.store.rename(lab.folder / "unmounted")
    refused(lab, "backup", code=10, kind="NoRepository")
    assert not lab.store.exists()
    (lab.folder / "unmounted").rename(lab.store)
    works(lab)


# Buckets, keys, endpoints


@pytest.mark.parametrize("kind", BUCKETS)
def test_no_bucket(make_lab: MakeLab, kind: str) -> None:
    """A bucket that does not exist is named."""
    lab = make_lab(kind)
    bucket, lab.target["bucket"] = lab.target["bucket"], f"none-{secrets.token_hex(6)}"
    lab.write_policies()
    error = refused(lab, "backup", code=10, kind="NoRepository")
    assert lab.target["bucket"] in error["message"]
    lab.target["bucket"] = bucket
    lab.write_policies()
    lab.rw("backup")


@pytest.mark.parametrize("what", ["LAB_KEY", "LAB_SECRET"])
@pytest.mark.parametrize("kind", BUCKETS)
def test_wrong_keys(make_lab: MakeLab, kind: str, what: str) -> None:
    """A wrong key or secret is refused in seconds, where restic alone would try for a quarter of an hour."""
    lab = make_lab(kind)
    error = refused(lab, "backup", code=22, kind="TargetRefused", env={what: "AKIAWRONGWRONGWRONG0"})
    assert "AKIAWRONG" not in json.dumps(error)
    refused(lab, "init", code=22, kind="TargetRefused", env={what: "AKIAWRONGWRONGWRONG0"})


def test_expired_token(make_lab: MakeLab, oss: OssServer) -> None:
    """Temporary credentials that have ended are told from wrong ones."""
    lab = make_lab("oss")
    fresh, stale = oss.issue_sts_token(3600), oss.issue_sts_token(0)
    lab.target["credentials"]["security_token"] = "${LAB_TOKEN}"
    lab.write_policies()

    def env(keys: Any) -> dict[str, str]:
        return {
            "LAB_KEY": keys.access_key_id,
            "LAB_SECRET": keys.access_key_secret,
            "LAB_TOKEN": keys.security_token,
        }

    error = refused(lab, "backup", code=22, kind="TargetRefused", env=env(stale))
    assert "expired" in error["message"] or "ended" in error["message"]
    lab.rw("backup", env=env(fresh))


@pytest.mark.parametrize(("kind", "silent"), [("s3", True), ("oss", True), ("oss", False)])
def test_unreachable(make_lab: MakeLab, kind: str, silent: bool, weed: S3Server, oss: OssServer) -> None:
    """An endpoint that refuses connections, or takes them and says nothing, is unreachable within its grace."""
    lab = make_lab(kind, grace="2s")
    with through_proxy(lab, kind, weed, oss) as proxy:
        if silent:
            proxy.stall()
        else:
            proxy.cut()
        error = refused(lab, "backup", code=22, kind="TargetUnreachable")
        assert "127.0.0.1" in error["message"] or "invalid" in error["message"]
        proxy.restore()
        lab.rw("backup")


def test_nothing_listens(make_lab: MakeLab) -> None:
    """A new target with a wrong port fails at `rw init`."""
    lab = make_lab("s3", ready=False, endpoint=f"http://127.0.0.1:{free_ports(1)[0]}")
    refused(lab, "init", code=22, kind="TargetUnreachable")


@contextmanager
def through_proxy(lab: Lab, kind: str, weed: S3Server, oss: OssServer) -> Iterator[TcpProxy]:
    """Send a lab's target through a proxy of the test's own."""
    with TcpProxy("127.0.0.1", weed.port if kind == "s3" else oss.port) as proxy:
        if kind == "s3":
            lab.target["endpoint"] = proxy.endpoint
        else:
            lab.env["HTTP_PROXY"] = proxy.endpoint
        lab.write_policies()
        yield proxy


# In the middle of a job


def slow(lab: Lab, seconds: float, rate: int = 1500) -> None:
    """A backup that uploads for about this long."""
    lab.target["limit_upload"] = rate
    lab.write_policies()
    lab.write("exams/large.bin", secrets.token_bytes(int(rate * 1024 * seconds)))


def fast(lab: Lab) -> None:
    """No limit any more."""
    del lab.target["limit_upload"]
    lab.write_policies()


@pytest.mark.parametrize("kind", BUCKETS)
def test_cut_for_seconds(make_lab: MakeLab, kind: str, weed: S3Server, oss: OssServer) -> None:
    """A network that is gone for three seconds is waited for: the backup ends well."""
    lab = make_lab(kind)
    slow(lab, 3)
    with through_proxy(lab, kind, weed, oss) as proxy:
        child = lab.start("backup", "--json")
        wait_for(lambda: proxy.bytes_up > 500_000)
        proxy.cut()
        time.sleep(3)  # The length of the cut is what is tested.
        proxy.restore()
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        assert json.loads(out)["job"]["outcome"] == "ok"
        fast(lab)
        works(lab)


@pytest.mark.parametrize(("kind", "silent"), [("s3", False), ("oss", True)])
def test_cut_for_good(make_lab: MakeLab, kind: str, silent: bool, weed: S3Server, oss: OssServer) -> None:
    """A network that does not come back fails the job soon after the grace, and the next job works."""
    lab = make_lab(kind, grace="2s")
    slow(lab, 4)
    with through_proxy(lab, kind, weed, oss) as proxy:
        child = lab.start("backup", "--json")
        wait_for(lambda: proxy.bytes_up > 500_000)
        begun = time.monotonic()
        if silent:
            proxy.stall()
        else:
            proxy.cut()
        out, err = child.communicate(timeout=120)
        took = time.monotonic() - begun
        assert child.returncode in (3, 22), err
        error = job_error(json.loads(out))
        told(lab, error, (out + err).decode())
        assert error["kind"] == "TargetUnreachable"
        assert took < 60, took
        proxy.restore()
        fast(lab)
        works(lab)


def test_server_stopped(make_lab: MakeLab, weed: S3Server) -> None:
    """A server that stops in the middle of a job fails it; nothing is lost, and the next job works."""
    with ExitStack() as stack:
        server = stack.enter_context(start_oss(weed))
        lab = make_lab("oss", ready=False, grace="1s")
        lab.env["HTTP_PROXY"] = server.proxy_url
        lab.rw("init")
        lab.fill()
        lab.rw("backup")
        slow(lab, 4)
        child = lab.start("backup", "--json")
        wait_for(lambda: any("/data/" in request["target"] for request in server.requests()[-5:]))
        server.stop()
        out, err = child.communicate(timeout=60)
        assert child.returncode in (3, 22), err
        told(lab, job_error(json.loads(out)), (out + err).decode())
        server.start()
        fast(lab)
        works(lab)
        assert len(lab.json("snapshots", "--domain", "exams")) == 2


def test_token_ends_in_the_middle(make_lab: MakeLab, oss: OssServer) -> None:
    """Credentials that end during a job end the job, in seconds and with the reason."""
    lab = make_lab("oss", grace="1s")
    keys = oss.issue_sts_token(900)
    lab.target["credentials"]["security_token"] = "${LAB_TOKEN}"
    slow(lab, 4)
    env = {
        "LAB_KEY": keys.access_key_id,
        "LAB_SECRET": keys.access_key_secret,
        "LAB_TOKEN": keys.security_token,
    }
    oss.clear()
    child = lab.start("backup", "--json", env=env)
    wait_for(lambda: any("/data/" in request["target"] for request in oss.requests()))
    oss.advance(seconds=1000)
    out, err = child.communicate(timeout=60)
    assert child.returncode in (3, 22), err
    error = job_error(json.loads(out))
    told(lab, error, (out + err).decode(), env)
    assert error["kind"] == "TargetRefused"
    fast(lab)
    keys = oss.issue_sts_token(900)
    lab.rw(
        "backup",
        env={
            "LAB_KEY": keys.access_key_id,
            "LAB_SECRET": keys.access_key_secret,
            "LAB_TOKEN": keys.security_token,
        },
    )


@pytest.mark.parametrize(
    ("method", "part"), [("PUT", "/data/"), ("PUT", "/snapshots/"), ("GET", "/config"), ("PUT", "backup_manifest")]
)
def test_bursts_of_errors(make_lab: MakeLab, oss: OssServer, method: str, part: str) -> None:
    """A server's own trouble that passes is nobody else's."""
    lab = make_lab("oss")
    lab.fill()
    oss.fail_next(2, 503, "ServiceUnavailable", method=method, contains=part)
    try:
        lab.rw("backup")
    finally:
        oss.clear()
    lab.rw("verify", "--share", "1")


def test_deadline(make_lab: MakeLab) -> None:
    """A run that takes longer than the policy allows is stopped, leaves no lock, and the next one works."""
    lab = make_lab("local", deadline="2s", pack_size=4)
    slow(lab, 8, rate=2000)
    report = lab.json("backup", code=None)
    error = job_error(report)
    assert error["kind"] == "DeadlineExceeded" and "2 seconds" in error["message"]
    told(lab, error, "")
    assert lab.bare("list", "locks", "--no-lock").stdout == b""
    fast(lab)
    lab.target["deadline"] = "1h"
    lab.write_policies()
    works(lab)


# One target


def test_single_target_is_enforced(lab: Lab) -> None:
    """Anything but 1 is refused as a policy error."""
    for value in ("0", "false", "2"):
        run = lab.rw("backup", "--json", code=2, env={"BACKUP_SINGLE_TARGET_ENFORCED": value})
        assert run.json["error"]["kind"] == "PolicyError"
        assert any("BACKUP_SINGLE_TARGET_ENFORCED" in problem for problem in run.json["problems"])
    lab.rw("backup", env={"BACKUP_SINGLE_TARGET_ENFORCED": "1"})


@pytest.mark.parametrize(
    ("kind", "foreign"),
    [
        ("local", {"oss2", "botocore", "boto3", "requests"}),
        ("s3", {"oss2", "boto3", "requests"}),
        ("oss", {"botocore", "boto3"}),
    ],
)
def test_only_its_client_is_loaded(make_lab: MakeLab, kind: str, foreign: set[str]) -> None:
    """A job loads the client of its own target and of no other."""
    lab = make_lab(kind)
    lab.fill()
    script = (
        "import sys, json\n"
        "from resticwrap.cli.main import main\n"
        "sys.argv = ['rw', 'backup', '--quiet']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=lab.env, cwd=Path.cwd(), capture_output=True, check=True, timeout=60
    )
    assert not set(json.loads(done.stdout.splitlines()[-1])) & foreign


def test_no_failover(make_lab: MakeLab) -> None:
    """Where the wanted target is down, no other one is written, and its own trouble is what is said."""
    lab = make_lab("local")
    lab.fill()
    down = {
        "provider": "s3",
        "endpoint": f"http://127.0.0.1:{free_ports(1)[0]}",
        "bucket": "nobody",
        "credentials": {"access_key_id": "${NEVER_SET_KEY}", "secret_access_key": "${NEVER_SET_SECRET}"},
    }
    targets = lab.folder / "policies" / "targets.yaml"
    targets.write_text(json.dumps({"default": "main", "targets": {"main": lab.target, "down": down}}))
    lab.rw("backup")
    lab.rw("policy", "check", "--target", "main")
    run = lab.rw("backup", "--target", "down", "--json", code=2)
    assert any("NEVER_SET_KEY" in problem for problem in run.json["problems"])
    env = {"NEVER_SET_KEY": "k" * 20, "NEVER_SET_SECRET": "s" * 40}
    before = sorted(lab.store.rglob("*"))
    refused(lab, "init", "--target", "down", code=22, kind="TargetUnreachable", env=env)
    assert sorted(lab.store.rglob("*")) == before
    assert PASSWORD not in targets.read_text()
