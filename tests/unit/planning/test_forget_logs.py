"""A log is worth nothing without its base: whatever is forgotten, what a policy promises comes back as a pair."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resticwrap.model.aging import Held
from resticwrap.model.policy import tier_of
from resticwrap.model.wal import BaseFacts, KeptBase
from resticwrap.planning.forget import Facts, Rules, plan
from resticwrap.planning.retention import founded, to_copy
from resticwrap.planning.wal import kept
from tests.unit.planning.test_forget import NOW, gone, held, made, policies, rules, why

FACTS = BaseFacts(
    system="1", timeline=1, start="0/1", end="0/2", began=NOW, ended=NOW, server="15.1", segment=1 << 24, user="u"
)


def log(days_ago: float, name: str, base: str, **more: Any) -> Held:
    return held(days_ago, name, base=base, **more)


def cold(one: Held, **more: Any) -> Held:
    return msgspec.structs.replace(one, cold=f"{one.original}-cold", **{"marked": True, **more})


def test_a_base_stays_as_long_as_a_log_that_needs_it() -> None:
    """In each tier, though it is older than all that the tier keeps."""
    old = [cold(held(400, "b1", type="full")), cold(log(190, "w0", "b1")), cold(log(31, "w1", "b1"))]
    done = made([*old, held(10, "b2", type="full"), log(0, "w2", "b2")])
    assert gone(done) == {("hot", "w0")}
    assert why(done, "b1").startswith("the base of log w1") and "base of log" in why(done, "b1", "cold")


def test_a_base_goes_with_its_last_log() -> None:
    old, new = cold(held(400, "b1", type="full")), cold(log(390, "w1", "b1"))
    done = made([old, new, cold(held(200, "b2", type="full")), cold(log(199, "w2", "b2")), log(0, "w3", "b2")])
    assert {("hot", "b1"), ("cold", "b1"), ("hot", "w1"), ("cold", "w1")} <= gone(done)
    assert ("hot", "b2") not in gone(done)


def test_a_log_leaves_hot_only_when_its_base_is_proven_in_cold_too() -> None:
    base, wal = held(41, "b1", type="full", cold="c"), cold(log(40, "w1", "b1"))
    others = [held(35, "b2", type="full"), log(0, "w2", "b2")]
    assert ("hot", "w1") not in gone(made([base, wal, *others]))
    proven = msgspec.structs.replace(base, marked=True)
    assert {("hot", "b1"), ("hot", "w1")} <= gone(made([proven, wal, *others]))
    assert ("hot", "w1") not in gone(made([proven, wal, *others], unsound=frozenset({"b1"})))


def test_what_is_copied_takes_its_base_along() -> None:
    """A day is represented by a log, since the base was made on another one."""
    snapshots = [held(5, "b1", type="full"), log(4, "w1", "b1"), log(3, "w2", "b1"), log(0, "w3", "b1")]
    days, keep = tier_of(rules(cold={"last": 2}).tiers, None, "cold")
    assert [one.original for one in to_copy(snapshots, days, keep, NOW.tzinfo, NOW)] == ["b1", "w2"]  # type: ignore[arg-type]


def test_a_log_without_its_base_counts_for_nothing() -> None:
    """Nothing older goes for its sake, and it is not the last complete one."""
    snapshots = founded([held(400, "dump"), log(0, "w1", "lost")])
    assert [one.complete for one in snapshots] == [True, False]
    assert ("hot", "dump") not in gone(made(snapshots))
    unknown = founded([held(3, "b1", type="full", complete=None), log(0, "w1", "b1")])
    assert [one.complete for one in unknown] == [None, None]


def test_a_log_of_a_machine_that_took_the_place_of_another() -> None:
    """It goes on from the base that the other one made, which stays for it, and counts."""
    old = [cold(held(ago, name, type="full", host="before")) for ago, name in ((50, "b1"), (40, "b0"))]
    snapshots = founded([*old, log(3, "w1", "b1"), log(0, "w2", "b1")])
    assert all(one.complete for one in snapshots)
    done = made(snapshots)
    assert ("hot", "b1") not in gone(done) and why(done, "b1").startswith("the base of log w1")


@pytest.mark.parametrize("pinned", ["b1", "w1"])
def test_a_pin_of_one_keeps_the_other(pinned: str) -> None:
    pins = {pinned: ("pinned (manual, p): audit",)}
    snapshots = [
        held(400, "b1", type="full", pins=pins.get("b1", ())),
        log(399, "w0", "b1"),
        log(398, "w1", "b1", pins=pins.get("w1", ())),
        *(cold(held(300, "b2", type="full")), cold(log(200, "w2", "b2")), log(0, "w3", "b2")),
    ]
    out = {name for _, name in gone(made(snapshots))}
    assert "w0" in out and not out & {"b1", "w1"}


def test_what_the_log_goes_on_from_stays() -> None:
    """An unproven new base, and the proven one from which the log still goes on; a quota takes neither."""
    snapshots = [
        held(3, "b1", type="full", proven_at=NOW),
        log(2, "w1", "b1", proven_at=NOW),
        held(1, "b2", type="full"),
    ]
    assert gone(made([*snapshots, log(0, "w2", "b1")], rules({"last": 1}, {"last": 1}))) == set()


class World:
    """One domain whose log is kept, over time. Its stream goes on from the base that the source would go on from."""

    def __init__(self, policy: Rules) -> None:
        self.policy, self.now = policy, NOW
        self.ever: list[Held] = []
        self.held: dict[str, Held] = {}
        self.bases: list[KeptBase] = []

    def all(self) -> list[Held]:
        return founded(list(self.held.values()))

    def stream(self) -> list[str]:
        """The bases that the source goes on from, oldest first."""
        there = {name for name, one in self.held.items() if one.hot}
        proven = {name for name, one in self.held.items() if one.proven_at}
        self.bases = kept(self.bases, there, proven)
        return [one.snapshot for one in self.bases]

    def backup(self, kind: str, complete: bool) -> None:
        name = f"s{len(self.ever):03}"
        stream = self.stream()
        if kind == "full" or not stream:
            one = held(0, name, type="full", time=self.now)
            self.bases.append(KeptBase(snapshot=name, facts=FACTS, origin="o"))
        else:
            one = held(0, name, base=stream[0], complete=complete, time=self.now)
        self.ever.append(one)
        self.held[name] = one

    def prove(self, number: int) -> None:
        names = sorted(self.held)
        if names:
            name = names[number % len(names)]
            self.held[name] = msgspec.structs.replace(self.held[name], proven_at=self.now)

    def copy(self, killed_after: int) -> None:
        days, keep = tier_of(self.policy.tiers, None, "cold")
        for number, one in enumerate(to_copy(self.all(), days, keep, self.policy.zone, self.now)):
            if number > killed_after:
                break
            self.held[one.original] = msgspec.structs.replace(
                self.held[one.original], cold=f"{one.original}-cold", marked=number < killed_after
            )

    def forget(self, tiers: tuple[str, ...], killed_after: int) -> None:
        goes_on, newest = (
            self.stream(),
            max((one for one in self.ever if one.base), key=lambda one: one.time, default=None),
        )
        done = plan("main", self.policy, Facts(held=self.all()), self.now, tiers)
        out = sorted({one.id for one in done.verdicts if not one.keep})
        cut = set(out[:killed_after])
        for name, one in list(self.held.items()):
            left = msgspec.structs.replace(
                one,
                hot=None if one.hot in cut else one.hot,
                cold=None if one.cold in cut else one.cold,
                marked=one.marked and one.cold not in cut,
            )
            self.held[name] = left
            if not left.hot and not left.cold:
                del self.held[name]
        left_to_go_on = self.stream()
        assert bool(left_to_go_on) == bool(goes_on), "no base is left to go on from"
        if newest and newest.complete and goes_on[:1] == [newest.base]:
            assert left_to_go_on[:1] == goes_on[:1], "the base went that the log goes on from"

    def there(self, name: str) -> bool:
        one = self.held.get(name)
        return one is not None and bool(one.hot or one.marked)

    def comes_back(self, one: Held) -> bool:
        return self.there(one.original) and (not one.base or self.there(one.base))

    def check(self) -> None:
        """Day by day what hot and cold promise together: something of that day comes back, else what stood before."""
        complete = [one for one in self.ever if one.complete]
        if complete:
            assert self.comes_back(complete[-1]), "the last one cannot be restored"
        spans = []
        for tier in ("hot", "cold"):
            days, keep = tier_of(self.policy.tiers, self.policy.domains["exams"], tier)
            spans += [min(keep.within_daily, timedelta(days=days))] if keep.within_daily else []
        if not spans:
            return
        zone = self.policy.zone
        day = (self.now - max(spans)).astimezone(zone).date()
        while day <= self.now.astimezone(zone).date():
            inside = [one for one in complete if one.time.astimezone(zone).date() == day]
            before = [one for one in complete if one.time.astimezone(zone).date() < day]
            wanted = inside or before[-1:]
            assert not wanted or any(self.comes_back(one) for one in wanted), f"{day} cannot be had"
            day += timedelta(days=1)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("backup"), st.sampled_from(["log", "log", "full"]), st.sampled_from([True, True, False])),
        st.tuples(st.just("wait"), st.sampled_from([1, 3, 7, 24, 60, 24 * 40]), st.none()),
        st.tuples(st.just("prove"), st.integers(0, 60), st.none()),
        st.tuples(st.just("copy"), st.sampled_from([0, 1, 99, 99]), st.none()),
        st.tuples(
            st.just("forget"), st.sampled_from([("hot",), ("cold",), ("hot", "cold")]), st.sampled_from([0, 2, 999])
        ),
    ),
    min_size=5,
    max_size=50,
)


@given(STEPS, policies(quota=True))
@settings(max_examples=300)
def test_no_order_of_steps_parts_a_log_from_its_base(steps: list[tuple[str, Any, Any]], policy: Rules) -> None:
    """Bases, logs, proofs, copies and forgets that are killed anywhere, with quotas, in any order."""
    world = World(policy)
    for what, first, second in steps:
        match what:
            case "backup":
                world.now += timedelta(minutes=7)
                world.backup(first, second)
            case "wait":
                world.now += timedelta(hours=first)
            case "prove":
                world.prove(first)
            case "copy":
                world.copy(first)
            case "forget":
                world.forget(first, second)
        world.check()
