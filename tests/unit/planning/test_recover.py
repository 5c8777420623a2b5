"""A recovery, carried out on a model of a bucket that keeps versions, whatever was done to it before."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.base import Time
from resticwrap.model.bucket import ObjectVersion
from resticwrap.planning.recover import Recovery, Step, config, keys, phases, plan

START = datetime(2026, 11, 28, tzinfo=UTC)
KEYS = ("hot/config", "hot/data/aa/a", "hot/data/bb/b", "hot/locks/l")
EVENTS = st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), max_size=25)


class Bucket:
    """Versions by key, oldest first; each second one event. `size` stands for the bytes."""

    def __init__(self) -> None:
        self.found: dict[str, list[ObjectVersion]] = {}
        self.clock = 0

    def now(self) -> Time:
        return START + timedelta(seconds=self.clock)

    def add(self, key: str, size: int | None) -> None:
        self.clock += 1
        self.found.setdefault(key, []).append(
            ObjectVersion(
                key=key, version=f"v{self.clock}", modified=self.now(), size=size or 0, latest=True, marker=size is None
            )
        )

    def versions(self) -> list[ObjectVersion]:
        return [
            ObjectVersion(
                key=key,
                version=one.version,
                modified=one.modified,
                size=one.size,
                latest=one is held[-1],
                marker=one.marker,
            )
            for key, held in sorted(self.found.items())
            for one in reversed(held)
        ]

    def seen(self) -> dict[str, int]:
        return {key: held[-1].size for key, held in self.found.items() if held and not held[-1].marker}

    def carry_out(self, recovery: Recovery) -> None:
        for step in recovery.steps:
            held = self.found[step.version.key]
            if step.marker is not None:
                assert held[-1].version == step.marker.version and held[-1].marker
                assert held[-2].version == step.version.version
                held.pop()
            else:
                assert any(one.version == step.version.version for one in held)
                self.add(step.version.key, step.version.size)


def played(events: list[tuple[str, bool]], bucket: Bucket) -> None:
    for key, put in events:
        # A delete of what is not there leaves a marker as well.
        bucket.add(key, bucket.clock + 1 if put else None)


@given(EVENTS, EVENTS)
def test_it_stands_as_it_stood(before: list[tuple[str, bool]], after: list[tuple[str, bool]]) -> None:
    """Whatever was put, deleted and overwritten since: each key is seen as it was seen then, or was not there then and
    is left as it is now. Locks are never touched. Planned again, with what is intact known, nothing is left to do."""
    bucket = Bucket()
    played(before, bucket)
    at, then = bucket.now(), bucket.seen()
    played(after, bucket)
    now = bucket.seen()
    found = plan(bucket.versions(), at, ("hot/locks/",))
    bucket.carry_out(found)
    seen = bucket.seen()
    for key in KEYS:
        wanted = then.get(key, now.get(key)) if key != "hot/locks/l" else now.get(key)
        assert seen.get(key) == wanted, key
    kinds = len(found.steps) + found.newer + found.same + len(found.gone)
    assert kinds == len({key for key, _ in before + after} - {"hot/locks/l"})
    again = plan(bucket.versions(), at, ("hot/locks/",), lambda one: then.get(one.key) == one.size)
    assert again.steps == ()
    assert all(step.deleted != (step.version.key in now) for step in found.steps)


@given(EVENTS)
def test_what_is_gone_is_named(events: list[tuple[str, bool]]) -> None:
    """Where the versions from then have expired and a marker alone is left, the key is named, and no step is made."""
    bucket = Bucket()
    played(events, bucket)
    at, then = bucket.now(), bucket.seen()
    for key in then:
        bucket.add(key, None)
        bucket.found[key] = bucket.found[key][-1:]
    found = plan(bucket.versions(), at)
    assert set(found.gone) == set(then) and found.steps == ()


@given(EVENTS, EVENTS, st.sampled_from([None, 3, 5]))
def test_a_config_is_the_pinned_one_or_is_left(
    before: list[tuple[str, bool]], after: list[tuple[str, bool]], pin: int | None
) -> None:
    """Whatever was done: what is seen afterwards is the pinned config, or what was seen before, or (with no pin, where
    none was seen) what was seen then. What is there though nothing is pinned is never touched."""
    bucket = Bucket()
    played(before, bucket)
    at, then = bucket.now(), bucket.seen().get("hot/config")
    played(after, bucket)
    now = bucket.seen().get("hot/config")
    known = [one for one in bucket.versions() if one.key == "hot/config"]
    found, left = config(known, at, None if pin is None else lambda one: one.size == pin)
    bucket.carry_out(found)
    seen = bucket.seen().get("hot/config")
    if pin is None:
        assert seen == (then if now is None else now)
        assert left == (now is not None and then not in (None, now))
    else:
        there = any(one.size == pin and not one.marker for one in known)
        assert seen == (pin if there else now)
        assert left == (not there and now is not None)
        assert bool(found.gone) == (bool(known) and not there and now is None)


@given(EVENTS, st.booleans())
def test_keys_that_were_removed_come_back_where_none_is_left(events: list[tuple[str, bool]], sound: bool) -> None:
    bucket = Bucket()
    played(events, bucket)
    at = bucket.now()
    played(events[::-1], bucket)
    whole = plan(bucket.versions(), at)
    found, removed = keys(whole, sound)
    overwritten = [step for step in whole.steps if not step.deleted]
    if sound or overwritten:
        assert list(found.steps) == overwritten
        assert {*removed} == {step.version.key for step in whole.steps if step.deleted}
    else:
        assert found == whole and removed == ()


def test_packs_come_before_what_names_them() -> None:
    """Of both tiers together: packs, index files, snapshots, and then the rest."""

    def step(key: str) -> Step:
        return Step(
            version=ObjectVersion(key=key, version="1", modified=START, size=1, latest=False, marker=False), over=None
        )

    tails = ("config", "index/i", "keys/k", "snapshots/s", "data/aa/a")
    parts = {
        f"{tier}/": Recovery(steps=tuple(step(f"{tier}/{tail}") for tail in tails), newer=0, same=0, gone=())
        for tier in ("hot", "cold")
    }
    parts["backups/x/"] = Recovery(steps=(step("backups/x/2026/11/28/1"),), newer=0, same=0, gone=())
    found = [[one.version.key for one in some] for some in phases(parts)]
    assert found[:3] == [
        [f"{tier}/{tail}" for tier in ("hot", "cold")] for tail in ("data/aa/a", "index/i", "snapshots/s")
    ]
    assert sum(map(len, found)) == 11
