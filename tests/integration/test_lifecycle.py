"""`rw lifecycle` against real servers: rules of others stay, ours move what is labelled and nothing else."""

import json
import os
import pty
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from resticwrap.clock import FixedClock
from resticwrap.model.aging import KnownPack
from resticwrap.model.bucket import TIER_TAG
from resticwrap.planning.lifecycle import digest, read
from resticwrap.services import lifecycle
from tests.conftest import MakeLab
from tests.lab import Lab
from tests.servers.oss import start_oss
from tests.servers.s3_cold import start_cold
from tests.servers.weed import S3Server

LOGS = {
    "s3": "<Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status>"
    "<Expiration><Days>30</Days></Expiration></Rule>",
    "oss": "<Rule><ID>logs</ID><Prefix>logs/</Prefix><Status>Enabled</Status><Transition><Days>30</Days>"
    "<StorageClass>IA</StorageClass><IsAccessTime>false</IsAccessTime></Transition><Strange><X>1</X></Strange></Rule>",
}
SWEEP = {
    "s3": "<Rule><ID>sweep</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>"
    "<Expiration><Days>30</Days></Expiration></Rule>",
    "oss": "<Rule><ID>sweep</ID><Prefix></Prefix><Status>Enabled</Status>"
    "<Expiration><Days>30</Days></Expiration></Rule>",
}


def put(lab: Lab, *rules: str) -> None:
    """As somebody else would, with a client of their own."""
    with lab.house() as house:
        assert house.bucket is not None
        house.bucket.put_lifecycle(f"<LifecycleConfiguration>{''.join(rules)}</LifecycleConfiguration>".encode())


def there(lab: Lab) -> bytes:
    with lab.house() as house:
        assert house.bucket is not None
        return house.bucket.lifecycle() or b""


def transitions(lab: Lab, **moves: list[dict[str, Any]]) -> None:
    """Give the policy transitions."""
    file = lab.folder / "policies" / "tiers.yaml"
    content = yaml.safe_load(file.read_text())
    content["tiers"]["cold"]["transitions"] = moves
    file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("kind", ["s3", "oss"])
def test_rules_of_others_stay(kind: str, make_lab: MakeLab) -> None:
    """Apply twice and remove: what somebody else put there is there before, between and after."""
    lab = make_lab(kind)
    put(lab, LOGS[kind])
    before = there(lab)
    planned = lab.json("lifecycle", "plan")
    assert [(change["rule"], change["action"]) for change in planned["changes"]] == [
        ("logs", "keep"), ("resticwrap-resticwrap-tidy", "add"),
    ]  # fmt: skip
    assert lab.json("lifecycle", "apply", "--dry-run") == planned and there(lab) == before
    done = lab.json("lifecycle", "apply", "--if-seen", planned["seen"])
    assert done["applied"] and done["differs"] == [] and done["plan"] == planned
    assert (LOGS[kind].encode() in there(lab)) == (kind == "oss"), "OSS takes raw XML, S3's server writes its own"
    again = lab.rw("lifecycle", "apply")
    assert "Nothing to change" in again.out and "Nothing was written" in again.out
    status = lab.json("lifecycle", "status")
    assert status["in_effect"] and status["problems"] == [] and len(status["rules"]) == 2
    refused = lab.json("lifecycle", "apply", "--if-seen", planned["seen"], code=2)
    assert refused["error"]["kind"] == "LifecycleRefused"
    lab.rw("lifecycle", "remove")
    assert digest(read(there(lab), "s3" if kind == "s3" else "oss")) == planned["seen"]


@pytest.mark.parametrize("kind", ["s3", "oss"])
def test_an_unsafe_bucket(kind: str, make_lab: MakeLab) -> None:
    """Exit 2 with the rule's name and what to do; the bucket's rules are not touched; status and doctor tell it."""
    lab = make_lab(kind)
    put(lab, SWEEP[kind])
    before = there(lab)
    error = lab.json("lifecycle", "apply", code=2)["error"]
    assert error["kind"] == "UnsafeBucket" and "sweep" in error["message"] and "lifecycle status" in error["hint"]
    shown = lab.rw("lifecycle", "plan", code=2).out
    assert (
        "unsafe: rule sweep (every object) deletes live objects of resticwrap/hot/" in shown and "what to do" in shown
    )
    assert there(lab) == before
    assert "sweep" in lab.rw("lifecycle", "status", code=1).out
    (check,) = [one for one in lab.json("doctor", code=1)["checks"] if one["name"] == "lifecycle rules"]
    assert check["verdict"] == "fail" and "sweep" in check["detail"]


def test_it_asks_on_a_terminal(make_lab: MakeLab) -> None:
    """After the diff, unless --yes is given: no means no."""
    lab = make_lab("s3")
    for answer, words, code, put_there in (
        (b"n\n", "apply", 1, False),
        (b"y\n", "apply", 0, True),
        (b"", "remove --yes", 0, False),
    ):
        done, shown = on_a_terminal(lab, answer, "lifecycle", *words.split())
        assert done == code, shown
        assert "Traceback" not in shown and "tidy" in shown
        assert ("[y/N]" in shown) == (words == "apply")
        assert bool(there(lab)) == put_there


def on_a_terminal(lab: Lab, answer: bytes, *arguments: str) -> tuple[int, str]:
    """Run `rw` as on a terminal and answer its question: exit code, and what was seen."""
    pid, ours = pty.fork()
    if pid == 0:  # pragma: no cover
        os.chdir(lab.folder)
        os.execve(sys.executable, lab.command(*arguments), lab.env)
    shown = b""
    while piece := _read(ours):
        shown += piece
        if b"[y/N]" in shown and answer:
            os.write(ours, answer)
            answer = b""
    os.close(ours)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def _read(descriptor: int) -> bytes:
    """What a terminal shows next; nothing when its last process is gone."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def test_only_labelled_packs_move(make_lab: MakeLab, weed: S3Server, tmp_path: Path) -> None:
    """After a month of the server's clock the labelled data packs are in IA and all else is where it was; a server that
    does not run its rules is found out, since the packs are overdue."""
    lab = make_lab("oss")
    with start_oss(weed) as server:
        lab.target["endpoint"] = server.endpoint
        lab.env["HTTP_PROXY"] = server.proxy_url
        lab.write_policies()
        transitions(lab, oss=[{"days": 30, "storage_class": "IA"}])
        lab.fill("exams", files=3, size=300_000)
        lab.rw("backup")
        with lab.house() as house:
            context, bucket = house.context, house.bucket
            assert bucket is not None
            context.cold.copy(context.hot, [snapshot.id for snapshot in context.hot.snapshots()])
            packs = context.cold.trees(no_cache=True).data_only_packs()
            assert packs
            for pack in packs:
                bucket.tag(f"{lab.namespace}/cold/data/{pack[:2]}/{pack}", *TIER_TAG)
            now = context.clock.now()
            context.catalog().put_packs("main", "cold", [KnownPack(pack=pack, labelled_at=now) for pack in packs])
        lab.rw("lifecycle", "apply")
        assert lab.json("lifecycle", "status")["overdue"] == 0
        late = FixedClock(datetime.now(UTC) + timedelta(days=34))
        with lab.house(clock=late) as house:
            status = lifecycle.status(house.context)
        assert (status.overdue, status.in_effect, status.ok) == (len(packs), True, False)
        assert server.advance(days=34) == len(packs)
        with lab.house(clock=late) as house:
            status = lifecycle.status(house.context)
        assert status.ok and status.overdue == 0 and status.notes == ()
        moved = {use.kind: use.objects for use in status.usage if use.storage_class == "IA"}
        assert moved == {"labelled data packs": len(packs)}
        assert {"tree packs", "index", "snapshots", "config", "keys"} <= {
            use.kind for use in status.usage if use.tier == "cold" and use.storage_class == "Standard"
        }
        server.clear()
        lab.json("lifecycle", "status", code=None)
        listings = [one["target"] for one in server.requests() if "prefix=" in one["target"]]
        assert len([target for target in listings if f"prefix={lab.namespace}%2F&" in f"{target}&"]) == 1, listings


def test_a_folder(make_lab: MakeLab) -> None:
    """Every subcommand says in a sentence that it has no rules."""
    lab = make_lab("local", ready=False)
    for words, code in (("plan", 0), ("status", 0), ("apply --dry-run", 0), ("apply", 2), ("remove", 2)):
        run = lab.rw("lifecycle", *words.split(), code=code)
        assert "is a folder of this machine" in run.out + run.err, words


def test_a_key_that_may_not(make_lab: MakeLab) -> None:
    """Told in a sentence, exit 22."""
    lab = make_lab("s3")
    wrong: Mapping[str, str] = {"LAB_SECRET": "a-wrong-secret"}
    failed = json.loads(lab.rw("lifecycle", "status", "--json", code=22, env=wrong).out)
    assert failed["error"]["kind"] == "TargetRefused"


@pytest.mark.parametrize("kind", ["s3_cold", "oss"])
def test_rules_that_may_not_be_read(kind: str, make_lab: MakeLab, request: pytest.FixtureRequest) -> None:
    """Nothing goes on over rules that nobody knows: exit 2 and the permission; where the store has no rules it does."""
    lab, server = make_lab(kind), request.getfixturevalue(kind)
    lab.fill("exams", files=1)
    lab.rw("backup", "--domain", "exams")
    permission = "s3:GetLifecycleConfiguration" if kind == "s3_cold" else "oss:GetBucketLifecycle"
    for words in (["tier", "run"], ["forget"], ["prune", "--now"]):
        try:
            server.fail_next(9, 403, "AccessDenied", method="GET", contains="?lifecycle")
            error = lab.json(*words, code=2)["error"]
        finally:
            server.clear()
        assert error["kind"] == "UnsafeBucket" and permission in error["hint"], (words, error)
    with lab.house() as house:
        assert house.context.cold.snapshots() == []
    try:
        server.fail_next(9, 501, "NotImplemented", method="GET", contains="?lifecycle")
        run = lab.rw("tier", "run")
    finally:
        server.clear()
    assert "has no call to read its lifecycle rules" in run.out + run.err


def test_shipped_transitions_on_s3(make_lab: MakeLab, weed: S3Server) -> None:
    """What `rw tier run` labelled moves by the rules that `rw lifecycle apply` put, on a store that runs them: packs of
    data and nothing else. Status and restic see it both before and after."""
    lab = make_lab("s3_cold")
    with start_cold(weed) as server:
        server.smallest(0)  # so that its rules alone say what moves
        lab.target["endpoint"] = server.endpoint
        lab.write_policies()
        shipped = yaml.safe_load((Path(__file__).parents[2] / "policies/tiers.yaml").read_text().replace("${", "$"))
        moves = shipped["tiers"]["cold"]["transitions"]
        assert moves["s3"] == [{"days": 30, "storage_class": "STANDARD_IA"}]
        transitions(lab, **moves)
        lab.fill("exams", files=3, size=300_000)
        lab.rw("backup")
        lab.rw("tier", "run")
        with lab.house() as house:
            labelled = {pack for pack, one in house.catalog.packs("main", "cold").items() if one.labelled_at}
            trees = house.context.cold.trees(no_cache=True)
            only_data, every = trees.data_only_packs(), set(trees.packs())
        assert labelled and labelled == set(only_data) < every
        assert not lab.json("lifecycle", "status", code=1)["in_effect"]
        assert lab.json("lifecycle", "apply", "--yes")["differs"] == []
        assert server.advance(days=29) == 0
        before = lab.json("lifecycle", "status")
        assert before["in_effect"] and before["problems"] == [] and before["unlabelled"] == before["overdue"] == 0
        assert {use["storage_class"] for use in before["usage"]} == {"STANDARD"}
        late = FixedClock(datetime.now(UTC) + timedelta(days=34))
        with lab.house(clock=late) as house:
            assert lifecycle.status(house.context).overdue == len(labelled)
        assert server.advance(days=5) == len(labelled)
        with lab.house(clock=late) as house:
            assert house.bucket is not None
            moved = [one for one in house.bucket.objects("") if one.storage_class != "STANDARD"]
            after = lifecycle.status(house.context)
        assert {one.storage_class for one in moved} == {"STANDARD_IA"}
        assert {one.key for one in moved} == {f"{lab.namespace}/cold/data/{pack[:2]}/{pack}" for pack in labelled}
        assert after.ok and after.overdue == after.astray == 0
        lab.bare("check", "--read-data", tier="cold")
