"""What to thaw, how long it takes, and what is refused before anything is asked for."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap import errors
from resticwrap.model.policy import ARCHIVES
from resticwrap.model.thaw import NeededPack
from resticwrap.planning import thaw

CLASSES = ["", "STANDARD", "STANDARD_IA", "Standard", "IA", "INTELLIGENT_TIERING", *sorted(ARCHIVES)]


@st.composite
def needed(draw: st.DrawFn) -> list[NeededPack]:
    ids = draw(st.lists(st.integers(0, 10**6), unique=True, max_size=30))
    found = []
    for one in ids:
        name = draw(st.sampled_from(CLASSES))
        frozen = thaw.may_be_frozen(name) and draw(st.booleans())
        found.append(
            NeededPack(
                pack=f"{one:064x}",
                size=draw(st.integers(0, 2**40)),
                storage_class=name,
                frozen=frozen,
                asked=frozen and draw(st.booleans()),
            )
        )
    return found


@given(needed(), st.sampled_from(["standard", "bulk"]))
def test_every_pack_is_in_one_place(packs: list[NeededPack], speed: str) -> None:
    """Asked for is exactly what is frozen and not thawing; sums are those of all; the order of the packs is nothing."""
    if speed == "bulk":
        packs = [one for one in packs if one.storage_class != "DeepColdArchive"]
    plan = thaw.plan("cold", "s3", packs, days=7, speed=speed)  # type: ignore[arg-type]
    by_id = {one.pack: one for one in packs}
    assert {*plan.ask} == {name for name, one in by_id.items() if one.frozen and not one.asked}
    assert {*plan.wait} == {name for name, one in by_id.items() if one.frozen and one.asked}
    assert not {*plan.ask, *plan.wait} & {*plan.thawed}
    assert plan.frozen == sum(one.packs for one in plan.classes) == sum(one.frozen for one in packs)
    assert sum(one.size for one in plan.classes) == sum(one.size for one in packs if one.frozen)
    assert (plan.packs, plan.size) == (len(packs), sum(one.size for one in packs))
    assert plan == thaw.plan("cold", "s3", reversed(packs), days=7, speed=speed)  # type: ignore[arg-type]
    assert all(one.storage_class in " ".join(thaw.sentences(plan)) for one in plan.classes)


def pack(storage_class: str, *, asked: bool = False) -> NeededPack:
    return NeededPack("a" * 64, 5 << 20, storage_class, frozen=True, asked=asked)


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_every_archive_has_its_times(name: str) -> None:
    """At the speed that is taken where none is given, each class says how long it takes."""
    (one,) = thaw.plan("cold", "s3", [pack(name)], days=7, speed="standard").classes
    assert 0 <= one.least < one.most


@pytest.mark.parametrize(
    ("name", "days", "speed", "hint"),
    [
        ("DEEP_ARCHIVE", 7, "expedited", "--thaw-speed standard or bulk"),
        ("DeepColdArchive", 7, "bulk", "--thaw-speed expedited or standard"),
        ("Archive", 8, "standard", "--thaw-days 7"),
    ],
)
def test_what_a_class_does_not_offer(name: str, days: int, speed: str, hint: str) -> None:
    """It is refused with what to give instead; what is thawing already is no matter of that."""
    with pytest.raises(errors.UsageError) as caught:
        thaw.plan("cold", "s3", [pack(name)], days=days, speed=speed)  # type: ignore[arg-type]
    assert caught.value.hint == hint
    assert thaw.plan("cold", "s3", [pack(name, asked=True)], days=days, speed=speed).ask == ()  # type: ignore[arg-type]


def test_the_words() -> None:
    """What is read, what of it is frozen, how long it takes, and what it would do."""
    said = thaw.sentences(thaw.plan("cold", "s3", [pack("GLACIER")], days=1, speed="bulk"))
    assert said == [
        "The restore reads 1 pack (5.0 MiB) of the cold repository, of which 1 must be thawed first.",
        "1 pack (5.0 MiB) in GLACIER: thawing takes 5 hours to 12 hours at the speed bulk.",
        "1 pack would be asked for, to stay readable for 1 day, at the provider's price for retrieval.",
    ]


def test_looks_become_rarer() -> None:
    """From a few seconds to a minute, and no rarer."""
    waits = list(islice(thaw.waits(), 20))
    assert waits[0] == 5 and waits == sorted(waits) and waits[-1] == 60
