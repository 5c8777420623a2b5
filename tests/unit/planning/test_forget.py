"""What a forget removes: never what is protected, never the only cover of a promised day, whatever the history."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resticwrap.model.aging import Held
from resticwrap.model.policy import Domain, Keep, Quota, Tiers, tier_of
from resticwrap.model.reports import ForgetPlan
from resticwrap.planning.forget import Facts, Rules, plan
from resticwrap.planning.retention import index_of, promised, to_copy

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
DAILY = {"within_daily": "180d"}
SHIPPED = {"within": "1d", "within_hourly": "7d", "within_daily": "30d"}


def rules(hot: Any = None, cold: Any = None, *, days: tuple[int, int] = (30, 180), **more: Any) -> Rules:
    domain = {"layer": "raw", "priority": "P0", "source": {"root": "/data"}, **more.pop("domain", {})}
    return Rules(
        tiers=Tiers.model_validate(
            {"hot": {"days": days[0], "keep": hot or SHIPPED}, "cold": {"days": days[1], "keep": cold or DAILY}}
        ),
        domains={"exams": Domain.model_validate(domain)},
        zone=more.pop("zone", UTC),
        **more,
    )


def held(days_ago: float, name: str = "", **more: Any) -> Held:
    name = name or f"s{days_ago}"
    fields: dict[str, Any] = {
        "original": name,
        "domain": "exams",
        "host": "lab",
        "time": NOW - timedelta(days=days_ago),
        "type": "incremental",
        "tree": name,
        "complete": True,
        "hot": f"{name}-hot",
    }
    return Held(**{**fields, **more})


def both(days_ago: float, name: str = "", **more: Any) -> Held:
    one = held(days_ago, name)
    return msgspec.structs.replace(one, cold=f"{one.original}-cold", **{"marked": True, **more})


def made(snapshots: Sequence[Held], policy: Rules | None = None, now: datetime = NOW, **facts: Any) -> ForgetPlan:
    return plan("main", policy or rules(), Facts(held=snapshots, **facts), now)


def gone(made: ForgetPlan) -> set[tuple[str, str]]:
    return {(one.tier, one.original) for one in made.verdicts if not one.keep}


def why(made: ForgetPlan, name: str, tier: str = "hot") -> str:
    return "; ".join(next(one.reasons for one in made.verdicts if (one.original, one.tier) == (name, tier)))


def test_nothing_leaves_hot_before_it_is_proven_in_cold() -> None:
    snapshots = [held(50, "only-hot"), held(45, "killed", cold="c"), both(40, "proven"), both(35), held(0, "now")]
    done = made(snapshots)
    assert gone(done) == {("hot", "proven")}
    assert "not proven in cold yet" in why(done, "only-hot")
    assert "not proven yet" in why(done, "killed", "cold")
    assert why(done, "proven").startswith("proven in cold")


def test_what_cold_holds_is_no_ground_while_cold_is_damaged() -> None:
    snapshots = [both(50, "a"), both(40, "b"), held(0, "now")]
    assert gone(made(snapshots)) == {("hot", "a")}  # b covers the first of the thirty days
    done = made(snapshots, cold_fault="pack 1234 is missing", unsound=frozenset({"a"}))
    assert gone(done) == set() and "not proven now" in why(done, "a")
    assert "pack 1234" in done.warnings[0]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"pins": ("pinned (manual, p): audit",)}, "pinned"),
        ({"proven_at": NOW}, "newest proven"),
        ({"complete": None}, "rw catalog rebuild"),
    ],
)
def test_what_is_never_removed(more: dict[str, Any], reason: str) -> None:
    """Though no rule keeps it, in neither tier."""
    snapshots = [held(300, "old", cold="c", marked=True, **more), held(299, "other"), held(0, "now")]
    done = made(snapshots)
    assert ("hot", "old") not in gone(done) and ("cold", "old") not in gone(done)
    assert reason in why(done, "old") and reason in why(done, "old", "cold")
    assert gone(made([both(300, "old"), held(299, "other"), held(250, "more"), held(0, "now")])) >= {("hot", "old")}


def test_partial_ones_stay_until_a_complete_one_follows() -> None:
    snapshots = [held(3, "p1", complete=False), held(2, "full"), held(1, "p2", complete=False)]
    done = made(snapshots)
    assert gone(done) == {("hot", "p1")} and "newer than the last complete" in why(done, "p2")
    assert gone(made([held(300, "p", complete=False)])) == set()


def test_the_future_is_never_newest_and_never_removed() -> None:
    """A snapshot of a wrong clock stays, and the last one of the past stays too."""
    snapshots = [held(300, "real"), held(-3, "future")]
    done = made(snapshots)
    assert gone(done) == set()
    assert "the last complete one" in why(done, "real") and why(done, "future") == "dated in the future"


def test_a_suspended_domain_keeps_everything() -> None:
    snapshots = [both(300, "a"), both(299, "b"), held(0, "now")]
    others = [msgspec.structs.replace(one, domain="other", original=f"{one.original}-o") for one in snapshots]
    policy = rules()
    policy = replace(policy, domains={**policy.domains, "other": policy.domains["exams"]})
    done = made([*snapshots, *others], policy, suspended={"exams": "9 of 10 files went"})
    assert gone(done) == {("hot", "a-o"), ("cold", "a-o")}
    assert done.suspended == {"exams": "9 of 10 files went"} and "9 of 10" in why(done, "a")


def test_a_domain_may_want_more_or_less() -> None:
    wishes = {"retention": {"hot": {"days": 5, "keep": {"last": 1}}, "cold": {"keep": {"forever": True}}}}
    snapshots = [both(900, "a"), both(400, "b"), held(0, "now")]
    assert gone(made(snapshots, rules(domain=wishes))) == {("hot", "a"), ("hot", "b")}
    dropped = [msgspec.structs.replace(one, domain="dropped") for one in snapshots]
    done = made(dropped, rules(domain=wishes))
    assert gone(done) == set() and "rw forget --domain dropped" in why(done, "a")
    assert gone(made(dropped, rules(domain=wishes, named=("dropped",)))) == {("hot", "a"), ("cold", "a")}


def test_a_copy_that_is_proven_stands_for_its_day_until_a_better_one_is() -> None:
    """The later full of a day was copied and found damaged: the earlier one stays in cold."""
    early, late = both(40, "early", type="full"), held(39.9, "late", cold="c", type="full")
    assert ("cold", "early") not in gone(made([early, late, held(0, "now")]))
    proven = msgspec.structs.replace(late, marked=True)
    assert ("cold", "early") in gone(made([early, proven, held(0, "now")]))
    unsound = made([early, proven, held(0, "now")], unsound=frozenset({"late"}), cold_fault="a pack")
    assert ("cold", "early") not in gone(unsound) and ("hot", "late") not in gone(unsound)


def test_twins_of_a_killed_copy() -> None:
    """Beside a proven copy an unproven one goes; while none is proven both stay."""
    twin = {"twins": (("cold", "twin"),)}
    done = made([both(5, "a", **twin), held(0, "now")])
    assert [one.id for one in done.verdicts if not one.keep] == ["twin"]
    assert gone(made([both(5, "a", marked=False, **twin), held(0, "now")])) == set()
    removed = made([both(300, "a", marked=False, **twin), both(299, "b"), held(0, "now")])
    assert {one.id for one in removed.verdicts if not one.keep} >= {"a-cold", "twin"}


def test_a_tier_alone() -> None:
    snapshots = [both(300, "a"), both(299, "b"), held(0, "now")]
    one = plan("main", rules(), Facts(held=snapshots), NOW, ("cold",))
    assert one.tiers == ("cold",) and {verdict.tier for verdict in one.verdicts} == {"cold"}


def test_over_quota_the_oldest_that_no_day_needs_go_first() -> None:
    """Every day keeps one; what is left over the quota is said loudly."""
    snapshots = [held(ago / 24, f"s{ago}") for ago in range(72)]
    policy = rules({"within_hourly": "30d"}, quota=Quota(max_snapshots=60))
    done = made(snapshots, policy)
    removed = {name for _, name in gone(done)}
    assert len(snapshots) - len(removed) == 60 and not done.warnings
    assert removed < {f"s{ago}" for ago in range(58, 72)}  # but the last of its day
    assert all("over quota: more than 60 snapshots" in why(done, name) for name in removed)
    tight = made(snapshots, rules({"within_hourly": "30d"}, quota=Quota(max_snapshots=2)))
    days = {index_of("day", one.time, UTC) for one in snapshots}
    assert days == {index_of("day", one.time, UTC) for one in tight.verdicts if one.keep}
    assert len(tight.verdicts) - len(gone(tight)) == len(days) and "stays over its quota" in tight.warnings[0]


def test_a_quota_of_bytes_uses_what_it_is_told() -> None:
    snapshots = [held(ago / 24, f"s{ago}") for ago in range(12)]
    facts: dict[str, Any] = {"stored": {None: 1200, "exams": 1200}, "freed": {one.original: 100 for one in snapshots}}
    policy = rules({"within_hourly": "30d"}, domain={"quota": {"max_bytes": 1000}})
    done = made(snapshots, policy, **facts)
    assert gone(done) == {("hot", "s11"), ("hot", "s10")} and "rw prune" in done.warnings[0]
    held_back = rules({"within_hourly": "30d"}, domain={"quota": {"max_bytes": 1000, "keep_last": 12}})
    assert gone(made(snapshots, held_back, **facts)) == set()


# Whatever the policy and the history.

SPANS = st.sampled_from(["6h", "1d", "3d", "7d", "20d"])
COUNTS = st.integers(1, 12)


@st.composite
def keeps(draw: Any) -> dict[str, Any]:
    fields = ("within", "within_hourly", "within_daily", "within_weekly", "within_monthly")
    chosen = draw(st.lists(st.sampled_from([*fields, "last", "hourly", "daily", "weekly", "monthly"]), min_size=1))
    found = {name: draw(SPANS if name in fields else COUNTS) for name in chosen}
    return {"forever": True} if draw(st.integers(0, 30)) == 0 else found


@st.composite
def policies(draw: Any, *, quota: bool = False) -> Rules:
    hot_days = draw(st.integers(1, 15))
    days = (hot_days, hot_days + draw(st.integers(0, 30)))
    more: dict[str, Any] = {}
    if quota and draw(st.booleans()):
        more["quota"] = Quota(max_snapshots=draw(st.integers(1, 30)), keep_last=draw(st.sampled_from([None, 1, 5])))
    if quota and draw(st.booleans()):
        more["domain"] = {"quota": {"max_snapshots": draw(st.integers(1, 30))}}
    zone = draw(st.sampled_from([UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")]))
    return rules(draw(keeps()), draw(keeps()), days=days, zone=zone, **more)


@st.composite
def histories(draw: Any) -> list[Held]:
    found = []
    for hours in draw(st.lists(st.integers(-30, 24 * 60), min_size=1, max_size=50, unique=True)):
        where = draw(st.sampled_from(["hot", "hot", "both", "unmarked", "cold"]))
        name = f"s{hours}"
        found.append(
            held(
                hours / 24,
                name,
                type=draw(st.sampled_from(["incremental", "full"])),
                complete=draw(st.sampled_from([True, True, True, True, False, None])),
                hot=None if where == "cold" else f"{name}-hot",
                cold=None if where == "hot" else f"{name}-cold",
                marked=where in ("both", "cold"),
                proven_at=draw(st.sampled_from([None, None, None, NOW])),
                pins=draw(st.sampled_from([(), (), (), (), ("pinned",)])),
                domain=draw(st.sampled_from(["exams", "exams", "other"])),
                twins=(("cold", f"{name}-twin"),) if where == "both" and draw(st.integers(0, 5)) == 0 else (),
            )
        )
    return found


def survivors(snapshots: Sequence[Held], done: ForgetPlan) -> list[Held]:
    out = {one.id for one in done.verdicts if not one.keep}
    left = []
    for one in snapshots:
        ids = [one.cold, *(twin for _, twin in one.twins)] if one.cold else []
        cold = [name for name in ids if name and name not in out]
        one = msgspec.structs.replace(
            one,
            hot=one.hot if one.hot not in out else None,
            cold=cold[0] if cold else None,
            twins=tuple(("cold", name) for name in cold[1:]),
        )
        if one.hot or one.cold:
            left.append(one)
    return left


@given(histories(), policies(quota=True), st.sampled_from([{}, {"exams": "unusual"}]), st.sampled_from(["", "a pack"]))
@settings(max_examples=300)
def test_any_plan(snapshots: list[Held], policy: Rules, suspended: dict[str, str], fault: str) -> None:
    """Kept plus removed is all; every one has a reason; nothing protected goes; a second plan removes nothing."""
    unsound = frozenset(one.original for one in snapshots if one.marked and fault)
    done = made(snapshots, policy, suspended=suspended, cold_fault=fault, unsound=unsound)
    ids = [one.id for one in done.verdicts]
    assert sorted(ids) == sorted(
        name for one in snapshots for name in (one.hot, one.cold, *(twin for _, twin in one.twins)) if name is not None
    )
    assert all(one.reasons and all(one.reasons) for one in done.verdicts)
    out = gone(done)
    for domain in ("exams", "other"):
        mine = [one for one in snapshots if one.domain == domain]
        past = [one for one in mine if one.complete and one.time <= NOW]
        cold = promised(mine, *tier_of(policy.tiers, policy.domains.get(domain), "cold"), policy.zone, NOW)
        protected = {
            one.original for one in mine if one.pins or one.complete is None or one.time > NOW or domain in suspended
        }
        proven = [one for one in sorted(past, key=lambda one: one.time) if one.proven_at]
        protected |= {proven[-1].original} if proven else set()
        without_twins = out - {("cold", one.original) for one in mine if one.twins and one.original in protected}
        assert not {name for _, name in without_twins} & protected
        for one in mine:
            if one.original in cold and one.hot and (not one.marked or fault):
                assert ("hot", one.original) not in out
        for tier in ("hot", "cold"):
            here = [one for one in past if (one.hot if tier == "hot" else one.cold)]
            if here:
                last = max(here, key=lambda one: (one.time, one.original))
                assert any(v.keep and v.original == last.original and v.tier == tier for v in done.verdicts)
    again = made(survivors(snapshots, done), policy, suspended=suspended, cold_fault=fault, unsound=unsound)
    assert gone(again) == set()


class World:
    """One domain over time: backups, copies that are killed or proven, forgets; and what was ever made."""

    def __init__(self, policy: Rules) -> None:
        self.policy, self.now = policy, NOW
        self.ever: list[Held] = []
        self.held: dict[str, Held] = {}
        self.unsound: set[str] = set()

    def backup(self, kind: str, complete: bool) -> None:
        name = f"s{len(self.ever)}"
        one = held(0, name, type=kind, complete=complete, time=self.now)
        self.ever.append(one)
        self.held[name] = one

    def copy(self, killed_after: int) -> None:
        days, keep = tier_of(self.policy.tiers, None, "cold")
        for number, one in enumerate(to_copy(list(self.held.values()), days, keep, self.policy.zone, self.now)):
            marked = number < killed_after
            if not marked and number > killed_after:
                break
            self.held[one.original] = msgspec.structs.replace(one, cold=f"{one.original}-cold", marked=marked)

    def forget(self, tiers: tuple[str, ...], killed_after: int) -> None:
        done = plan(
            "main", self.policy, Facts(held=list(self.held.values()), unsound=frozenset(self.unsound)), self.now, tiers
        )
        out = {one.id for one in done.verdicts if not one.keep}
        cut = {name for number, name in enumerate(sorted(out)) if number < killed_after}
        for name, one in list(self.held.items()):
            left = msgspec.structs.replace(
                one,
                hot=None if one.hot in cut else one.hot,
                cold=None if one.cold in cut else one.cold,
                marked=one.marked and one.cold not in cut,
            )
            if left.hot or left.cold:
                self.held[name] = left
            else:
                del self.held[name]

    def damage(self, number: int) -> None:
        """A pack of a copy rots, and a verify says so; hot has the snapshot still."""
        both = [name for name, one in self.held.items() if one.hot and one.marked]
        if both:
            self.unsound.add(both[number % len(both)])

    def days(self, tier: str) -> None:
        """The daily promise by itself, day by day: one of the day's own, else the one that stood when it began."""
        days, keep = tier_of(self.policy.tiers, self.policy.domains["exams"], tier)  # type: ignore[arg-type]
        if keep.within_daily is None:
            return
        zone, complete = self.policy.zone, [one for one in self.ever if one.complete]
        there = {name for name, one in self.held.items() if one.hot or (tier == "cold" and self.sound(one))}
        begin = (self.now - min(keep.within_daily, timedelta(days=days))).astimezone(zone).date()
        while begin <= self.now.astimezone(zone).date():
            inside = {one.original for one in complete if one.time.astimezone(zone).date() == begin}
            before = [one.original for one in complete if one.time.astimezone(zone).date() < begin]
            assert inside & there if inside else not before or before[-1] in there, f"{begin} cannot be had"
            begin += timedelta(days=1)

    def sound(self, one: Held) -> bool:
        return one.marked and one.original not in self.unsound

    def check(self) -> None:
        """All that the rules promise, of everything there ever was, can be had: what hot promises in hot, what cold
        promises in hot or proven in cold."""
        for tier in ("hot", "cold"):
            days, keep = tier_of(self.policy.tiers, None, tier)
            for name in promised(self.ever, days, keep, self.policy.zone, self.now):
                one = self.held.get(name)
                assert one is not None, f"{name} is gone, which {tier} promises"
                assert one.hot if tier == "hot" else one.hot or self.sound(one), f"{name} is not in {tier}"
            self.days(tier)
        complete = [one for one in self.ever if one.complete]
        if complete:
            assert complete[-1].original in self.held


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("backup"), st.sampled_from(["incremental", "full"]), st.sampled_from([True, True, False])),
        st.tuples(st.just("wait"), st.sampled_from([1, 1, 3, 7, 24, 60, 24 * 40]), st.none()),
        st.tuples(st.just("copy"), st.sampled_from([0, 1, 99, 99]), st.none()),
        st.tuples(st.just("damage"), st.integers(0, 9), st.none()),
        st.tuples(
            st.just("forget"), st.sampled_from([("hot",), ("cold",), ("hot", "cold")]), st.sampled_from([0, 2, 999])
        ),
    ),
    min_size=5,
    max_size=60,
)


@given(STEPS, policies())
@settings(max_examples=400)
def test_no_order_of_steps_loses_what_a_policy_promises(steps: list[tuple[str, Any, Any]], policy: Rules) -> None:
    """Backups, an unchanged domain for 40 days, copies and forgets that are killed anywhere, in any order."""
    world = World(policy)
    for what, first, second in steps:
        match what:
            case "backup":
                world.now += timedelta(minutes=7)
                world.backup(first, second)
            case "wait":
                world.now += timedelta(hours=first)
            case "copy":
                world.copy(first)
            case "damage":
                world.damage(first)
            case "forget":
                world.forget(first, second)
        world.check()


def test_a_quota_leaves_every_day_that_is_promised() -> None:
    policy = rules({"within_hourly": "10d"}, {"within_daily": "20d"}, days=(10, 20), quota=Quota(max_snapshots=1))
    world = World(policy)
    for hour in range(24 * 12):
        world.now = NOW + timedelta(hours=hour)
        world.backup("full" if hour % 24 == 2 else "incremental", complete=True)
        if hour % 6 == 0:
            world.copy(99)
            world.forget(("hot", "cold"), 999)
    left = {index_of("day", one.time, UTC) for one in world.held.values()}
    assert left == {index_of("day", one.time, UTC) for one in world.ever}
    assert len(world.held) < 40


def test_keep_has_nothing_new() -> None:
    """A field that is added to Keep has to be thought of in `day_promise`."""
    assert set(Keep.model_fields) == {
        "last", "within", "within_hourly", "within_daily", "within_weekly", "within_monthly", "hourly", "daily",
        "weekly", "monthly", "forever",
    }  # fmt: skip
