"""The service of lifecycle rules over a bucket in memory, which changes and refuses at the wrong moment."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from resticwrap import errors
from resticwrap.clock import FixedClock
from resticwrap.model.aging import KnownPack
from resticwrap.model.base import Time
from resticwrap.model.bucket import ObjectLock, ObjectVersion, StoredObject, Thaw, ThawSpeed, Versioning
from resticwrap.model.gate import AuditLook
from resticwrap.model.job import Pin
from resticwrap.model.policy import ColdTier, S3Target
from resticwrap.report.progress import QuietWatcher
from resticwrap.services import gate, lifecycle
from resticwrap.services.context import Context
from tests.lab import Lab

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
FOREIGN = "<Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status>{}</Rule>"
EXPIRE = "<Expiration><Days>30</Days></Expiration>"
UNSAFE = f"<Rule><ID>sweep</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>{EXPIRE}</Rule>"


def rules(*texts: str) -> bytes:
    return f"<LifecycleConfiguration>{''.join(texts)}</LifecycleConfiguration>".encode()


@dataclass
class MemoryBucket:
    """A bucket whose faults a test chooses: `on_read` is called before each look at the rules, with its number."""

    document: bytes | None = None
    listed: list[StoredObject] = field(default_factory=list)
    keeps: Versioning = "off"
    locked: ObjectLock | None = None
    refuses: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    on_read: Callable[["MemoryBucket", int], None] = lambda _bucket, _number: None
    keep: Callable[[bytes | None], bytes | None] = lambda document: document
    reads: int = 0
    puts: list[bytes | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    provider: Literal["s3", "oss"] = "s3"

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.refuses:
            raise errors.TargetRefused(f"The key may not do that: {what}.", hint="Look at LAB_KEY.")
        if what in self.lacks:
            raise errors.NoSuchCall(f"The store has no call to do that: {what}.")

    def lifecycle(self) -> bytes | None:
        self._ask("lifecycle")
        self.reads += 1
        self.on_read(self, self.reads)
        return self.document

    def put_lifecycle(self, document: bytes | None) -> None:
        self._ask("put_lifecycle")
        self.puts.append(document)
        self.document = self.keep(document)

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        self._ask(f"objects {prefix}")
        return (one for one in self.listed if one.key.startswith(prefix))

    def versioning(self) -> Versioning:
        self._ask("versioning")
        return self.keeps

    def lock(self) -> ObjectLock | None:
        self._ask("lock")
        return self.locked

    def versions(self, prefix: str) -> Iterator[ObjectVersion]:
        for one in self.listed:
            if one.key.startswith(prefix):
                yield ObjectVersion(
                    key=one.key, version="1", modified=one.modified, size=one.size, latest=True, marker=False
                )

    def locked_until(self, version: ObjectVersion) -> Time | None:
        return version.modified + timedelta(days=self.locked.days) if self.locked else None

    def tags(self, key: str) -> Mapping[str, str]:
        raise NotImplementedError

    def tag(self, key: str, name: str, value: str) -> bool:
        raise NotImplementedError

    def read_version(self, version: ObjectVersion) -> bytes:
        raise NotImplementedError

    def bring_back(self, version: ObjectVersion, marker: ObjectVersion | None) -> None:
        raise NotImplementedError

    def thaw(self, key: str, days: int, speed: ThawSpeed) -> None:
        raise NotImplementedError

    def thaw_state(self, key: str) -> Thaw:
        raise NotImplementedError


class Listener(QuietWatcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, restic_binary: Path) -> Lab:
    """Policies without repositories, for all tests here: none of them needs any."""
    folder = tmp_path_factory.mktemp("lab")
    return Lab(folder, restic_binary, {"provider": "local", "path": str(folder / "store")})


@contextmanager
def over(lab: Lab, bucket: MemoryBucket) -> Iterator[Context]:
    """A context of a target on S3 of which the bucket is this one; its repositories are those of the lab."""
    target = S3Target.model_validate({"provider": "s3", "bucket": "backups", "namespace": "school"})
    moves = {"s3": [{"days": 30, "storage_class": "STANDARD_IA"}, {"days": 90, "storage_class": "GLACIER"}]}
    with lab.house(clock=FixedClock(NOW)) as house:
        context = house.context
        tiers = context.settings.tiers
        cold = ColdTier.model_validate({"days": 180, "keep": {"daily": 180}, "transitions": moves})
        settings = replace(context.settings, tiers=tiers.model_copy(update={"cold": cold}))
        yield replace(context, bucket=lambda: bucket, target=target, settings=settings)


def test_apply_and_again(lab: Lab) -> None:
    """What is put is what the plan shows; the second time nothing is; remove gives back what was there before."""
    before = rules(FOREIGN.format(EXPIRE))
    bucket = MemoryBucket(before, keeps="enabled")
    with over(lab, bucket) as context:
        planned = lifecycle.plan(context)
        assert bucket.puts == [] and planned.changed
        assert "GLACIER" in planned.diff and "NoncurrentDays" in planned.diff and "logs" not in planned.diff
        done = lifecycle.apply(context, planned)
        assert done.applied and done.differs == () and bucket.puts == [(planned.document or "").encode()]
        again = lifecycle.apply(context, lifecycle.plan(context))
        assert not again.applied and len(bucket.puts) == 1
        assert lifecycle.status(context).in_effect
        lifecycle.apply(context, lifecycle.plan(context, remove=True), remove=True)
        assert bucket.document == before


def test_rules_that_change_meanwhile(lab: Lab) -> None:
    """Between plan and apply, whether seen by digest or by the plan itself: nothing is put."""
    bucket = MemoryBucket()
    with over(lab, bucket) as context:
        planned = lifecycle.plan(context)
        bucket.document = rules(FOREIGN.format(EXPIRE))
        with pytest.raises(errors.LifecycleRefused, match="have changed"):
            lifecycle.apply(context, planned)
        with pytest.raises(errors.LifecycleRefused, match="digest"):
            lifecycle.apply(context, lifecycle.plan(context), if_seen=planned.seen)
        with pytest.raises(errors.UsageError, match="12 characters"):
            lifecycle.apply(context, planned, if_seen=planned.seen[:3])
        assert bucket.puts == []
        now = lifecycle.plan(context)
        assert lifecycle.apply(context, now, if_seen=now.seen).applied


def test_versions_that_are_switched_on_meanwhile(lab: Lab) -> None:
    """Then the plan is another one too, though the rules are the same."""
    bucket = MemoryBucket()
    with over(lab, bucket) as context:
        planned = lifecycle.plan(context)
        bucket.keeps = "enabled"
        with pytest.raises(errors.LifecycleRefused):
            lifecycle.apply(context, planned)
    assert bucket.puts == []


def test_a_store_that_keeps_something_else(lab: Lab) -> None:
    """What is read back is compared: a rule that got lost or that came in between is named."""
    for kept in (rules(FOREIGN.format(EXPIRE)), None):
        bucket = MemoryBucket(keep=lambda _, kept=kept: kept)  # type: ignore[misc]
        with over(lab, bucket) as context:
            done = lifecycle.apply(context, lifecycle.plan(context))
        assert done.applied and "resticwrap-school-tidy" in done.differs
        assert ("logs" in done.differs) == (kept is not None)


def test_an_unsafe_bucket(lab: Lab) -> None:
    """Apply and guard refuse, naming the rule; remove takes ours away all the same."""
    bucket = MemoryBucket()
    with over(lab, bucket) as context:
        lifecycle.guard(context)
        lifecycle.apply(context, lifecycle.plan(context))
        lifecycle.guard(context)
        bucket.document = (bucket.document or b"").replace(b"</LifecycleConfiguration>", UNSAFE.encode() + b"</LifecycleConfiguration>")  # fmt: skip # noqa: E501
        for act in (lambda: lifecycle.apply(context, lifecycle.plan(context)), lambda: lifecycle.guard(context)):
            with pytest.raises(errors.UnsafeBucket, match=r"sweep.*deletes live objects") as caught:
                act()
            assert caught.value.exit_code == 2 and caught.value.hint.startswith("rw lifecycle status")
        (check,) = lifecycle.check(context)
        assert check.verdict == "fail" and "sweep" in check.detail and check.hint
        assert not lifecycle.status(context).ok
        lifecycle.apply(context, lifecycle.plan(context, remove=True), remove=True)
        assert bucket.document == rules(UNSAFE)


def test_our_own_rule_that_somebody_made_unsafe(lab: Lab) -> None:
    """The guard refuses, and apply mends it."""
    bucket = MemoryBucket()
    with over(lab, bucket) as context:
        lifecycle.apply(context, lifecycle.plan(context))
        whole = bucket.document or b""
        bucket.document = whole.replace(b"<Tag><Key>tier</Key><Value>cold</Value></Tag>", b"")
        with pytest.raises(errors.UnsafeBucket, match="cold-data"):
            lifecycle.guard(context)
        lifecycle.apply(context, lifecycle.plan(context))
        lifecycle.guard(context)
        assert bucket.document == whole


def test_rules_that_may_not_be_read(lab: Lab) -> None:
    """The guard refuses and says which permission is missing; the doctor warns, since a writer's credentials suffice
    for backups; a plan fails, since it would be a guess."""
    bucket = MemoryBucket(rules(UNSAFE), refuses=frozenset({"lifecycle"}))
    with over(lab, bucket) as context:
        watcher = Listener()
        with pytest.raises(errors.UnsafeBucket, match="may not do that") as caught:
            lifecycle.guard(replace(context, watcher=watcher))
        assert caught.value.exit_code == 2 and watcher.notes == []
        assert "Look at LAB_KEY" in caught.value.hint and "s3:GetLifecycleConfiguration" in caught.value.hint
        (check,) = lifecycle.check(context)
        assert check.verdict == "warn" and "s3:GetLifecycleConfiguration" in check.hint
        with pytest.raises(errors.TargetRefused):
            lifecycle.plan(context)
        bucket.refuses, bucket.document = frozenset(), b"no xml"
        with pytest.raises(errors.UnsafeBucket, match="cannot be read"):
            lifecycle.guard(context)


def test_a_store_without_rules(lab: Lab) -> None:
    """Where there is no such call there can be no rule: the guard notes it and goes on, and the doctor has no fault."""
    with over(lab, MemoryBucket(lacks=frozenset({"lifecycle"}))) as context:
        watcher = Listener()
        lifecycle.guard(replace(context, watcher=watcher))
        assert len(watcher.notes) == 1 and "has no call" in watcher.notes[0]
        (check,) = lifecycle.check(context)
        assert check.verdict == "ok" and "has no call" in check.detail
        with pytest.raises(errors.TargetRefused):
            lifecycle.plan(context)


def test_old_versions_that_go_too_early(lab: Lab) -> None:
    """Plan, status and doctor warn of it where the bucket keeps versions, or may not be asked; nothing is refused."""
    old = "<NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays></NoncurrentVersionExpiration>"
    bucket = MemoryBucket(rules(FOREIGN.format(old).replace("logs", "bin").replace("bin/", "")))
    with over(lab, bucket) as context:
        assert lifecycle.plan(context).problems == lifecycle.status(context).problems == ()
        bucket.keeps = "suspended"
        for _ in range(2):
            for problems in (lifecycle.plan(context).problems, lifecycle.status(context).problems):
                assert [(one.rule, one.severity) for one in problems] == [("bin", "warn")]
                assert "after 3 days" in problems[0].effect
            (check,) = lifecycle.check(context)
            assert check.verdict == "warn" and "bin" in check.detail and "recover-deleted" in check.hint
            lifecycle.guard(context)
            bucket.refuses = frozenset({"versioning"})
        bucket.refuses, bucket.keeps = frozenset(), "enabled"
        assert lifecycle.apply(context, lifecycle.plan(context)).applied
        assert lifecycle.status(context).ok


def test_an_element_that_the_client_would_drop(lab: Lab) -> None:
    """On S3 nothing is put over it."""
    bucket = MemoryBucket(rules(FOREIGN.format("<Melt/>")))
    with over(lab, bucket) as context, pytest.raises(errors.LifecycleRefused, match="Melt"):
        lifecycle.apply(context, lifecycle.plan(context))
    assert bucket.puts == []


def test_versions_that_may_not_be_asked_for(lab: Lab) -> None:
    """No rule ends them then, and the plan says so."""
    with over(lab, MemoryBucket(refuses=frozenset({"versioning"}))) as context:
        planned = lifecycle.plan(context)
        assert "Noncurrent" not in planned.diff and "not known" in planned.notes[0]


def stored(key: str, storage_class: str = "STANDARD", *, days: float = 1, size: int = 1 << 20) -> StoredObject:
    return StoredObject(key=key, size=size, modified=NOW - timedelta(days=days), storage_class=storage_class)


class Index:
    """What the index of cold says, of packs named by one letter."""

    def data_only_packs(self) -> frozenset[str]:
        return frozenset("abcdefg")

    def packs(self) -> dict[str, int]:
        return dict.fromkeys("abcdefgt", 1)


class Cold:
    """A cold repository of which only the index is asked for."""

    def config_digest(self) -> str:
        return "pinned"

    def trees(self) -> Index:
        return Index()


class Labels:
    """A catalogue that knows of packs alone."""

    def __init__(self, labels: Mapping[str, float]) -> None:
        self.labels = labels

    def packs(self, target: str, tier: str) -> dict[str, KnownPack]:
        return {
            pack: KnownPack(pack=pack, labelled_at=NOW - timedelta(days=days)) for pack, days in self.labels.items()
        }


def survey(lab: Lab, bucket: MemoryBucket, labels: Mapping[str, float]) -> Any:
    with over(lab, bucket) as context:
        context.state.put_pins(
            "main",
            {
                tier: Pin(tier=tier, repository_id="0" * 64, config_digest="pinned", chunker="x")
                for tier in ("hot", "cold")
            },
        )
        cold: Any = Cold()
        catalog: Any = Labels(labels)
        return lifecycle.status(replace(context, cold=cold, catalog=lambda: catalog))


def test_what_is_overdue(lab: Lab) -> None:
    """A labelled pack that is past its day and the slack, counted from its label where that came later; never one that
    S3 does not move because it is small, or one that is colder already."""
    root = "school/cold/data/xx/"
    listed = [
        stored(root + "a", days=32.9),
        stored(root + "b", days=33.1),
        stored(root + "c", days=60),
        stored(root + "d", "STANDARD_IA", days=94),
        stored(root + "e", "DEEP_ARCHIVE", days=94),
        stored(root + "f", days=94, size=1000),
        stored(root + "g", days=94),
        stored(root + "t", days=94),
    ]
    labels = dict.fromkeys("abdef", 93.5) | {"c": 2.0, "t": 93.5}
    status = survey(lab, MemoryBucket(listed=listed), labels)
    found = {one.key[-1]: (one.storage_class, one.wanted) for one in status.overdue_sample}
    assert found == {"b": ("STANDARD", "STANDARD_IA"), "d": ("STANDARD_IA", "GLACIER")}
    assert (status.overdue, status.overdue_bytes) == (2, 2 << 20)
    assert status.unlabelled == 1 and status.astray == 0 and not status.ok
    kinds = {(use.kind, use.storage_class): use.objects for use in status.usage}
    assert kinds == {
        ("labelled data packs", "STANDARD"): 4,
        ("labelled data packs", "STANDARD_IA"): 1,
        ("labelled data packs", "DEEP_ARCHIVE"): 1,
        ("unlabelled data packs", "STANDARD"): 1,
        ("tree packs", "STANDARD"): 1,
    }


def test_what_is_astray(lab: Lab) -> None:
    """Whatever must be read at once and is in an archive is named; data packs of cold may be there, labelled or not."""
    frozen = [
        "school/hot/config", "school/hot/data/xx/a", "school/cold/config", "school/cold/keys/k", "school/cold/index/i",
        "school/cold/snapshots/s", "school/cold/locks/l", "school/cold/data/xx/t", "school/cold/data/xx/unknown",
        "backups/school/2026-11-20/job/backup_manifest.json",
    ]  # fmt: skip
    fine = ["school/cold/data/xx/a", "school/cold/data/xx/b", "school/notes.txt"]
    listed = [stored(key, "GLACIER") for key in sorted([*frozen, *fine])]
    listed += [stored("school/hot/index/warm", "GLACIER_IR"), stored("schoolyard/x", "GLACIER")]
    status = survey(lab, MemoryBucket(listed=listed), {"a": 1.0})
    assert sorted(one.key for one in status.astray_sample) == sorted(frozen)
    assert status.astray == len(frozen) and not status.ok


def test_the_lock(lab: Lab) -> None:
    """Until when nothing, and the newest, cannot be destroyed; locks of restic do not count."""
    listed = [stored("school/hot/config", days=5), stored("school/hot/locks/l", days=50), stored("school/hot/index/i")]
    bucket = MemoryBucket(listed=listed, keeps="enabled", locked=ObjectLock(mode="COMPLIANCE", days=10))
    with over(lab, bucket) as context:
        lock = lifecycle.status(context).lock
        assert lock is not None
        assert (lock.whole_until, lock.newest_until) == (NOW + timedelta(days=5), NOW + timedelta(days=9))
        bucket.locked = ObjectLock(mode="Locked", days=10, since=NOW)
        lock = lifecycle.status(context).lock
        assert lock is not None and lock.whole_until == lock.newest_until == NOW + timedelta(days=10)
        bucket.refuses = frozenset({"lock", "versioning"})
        status = lifecycle.status(context)
        assert status.lock is None and status.versioning == "unknown"
        assert any("locked" in note for note in status.notes)


def test_a_hundred_thousand_objects(lab: Lab) -> None:
    """The listing is read once, and what is named of it stays few."""
    listed = [stored(f"school/cold/data/xx/{number:064x}", "GLACIER") for number in range(100_000)]
    bucket = MemoryBucket(listed=listed)
    status = survey(lab, bucket, {})
    assert status.astray == 100_000 and len(status.astray_sample) == 20 and len(status.usage) == 1
    assert [what for what in bucket.asked if what.startswith("objects")] == [
        "objects school/", "objects backups/school/",
    ]  # fmt: skip


def test_a_folder(lab: Lab) -> None:
    """Nothing to guard, nothing to plan, and a sentence that says why."""
    with lab.house() as house:
        lifecycle.guard(house.context)
        assert lifecycle.check(house.context) == []
        planned, status = lifecycle.plan(house.context), lifecycle.status(house.context)
        assert not planned.changed and "folder" in planned.notes[0]
        assert status.ok and "folder" in status.notes[0]
        with pytest.raises(errors.UsageError, match="folder"):
            lifecycle.apply(house.context, planned)


def test_what_was_seen_of_the_rules_is_remembered(lab: Lab) -> None:
    """For the gate, which asks nobody: by the guard, which stops, and by a look, which goes on whatever it finds."""

    def seen(context: Context) -> tuple[int, bool]:
        look = context.state.bucket_look("main")
        assert look is not None and look.at == NOW
        return len(look.unsafe), look.known

    bucket = MemoryBucket(rules(UNSAFE))
    with over(lab, bucket) as context:
        with pytest.raises(errors.UnsafeBucket):
            lifecycle.guard(context)
        assert seen(context) == (1, True)
        bucket.document = None
        assert lifecycle.look(context) is None and seen(context) == (0, True)
        bucket.document = rules(UNSAFE)
        assert "not safe" in (lifecycle.look(context) or "") and seen(context) == (1, True)
        bucket.refuses = frozenset({"lifecycle"})
        assert "not known" in (lifecycle.look(context) or "") and seen(context) == (0, False)
        bucket.refuses, bucket.lacks = frozenset(), frozenset({"lifecycle"})
        assert lifecycle.look(context) is None and seen(context) == (0, True)
    with over(lab, bucket) as context, lab.house() as built:
        assert lifecycle.look(built.context) is None  # a folder
        assert {reason.kind for reason in gate.ask(context).reasons} == {"proof", "backup", "kit"}
        context.state.put_audit_look("main", AuditLook(at=NOW, fault="Record 7 was rewritten."))
        assert "Record 7 was rewritten." in [reason.sentence for reason in gate.ask(context).reasons]
        context.state.put_audit_look("main", AuditLook(at=NOW))
        assert "evidence" not in {reason.kind for reason in gate.ask(context).reasons}
