"""In which order a repair goes on, what it never does unasked, and that it ends."""

from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.repair import BadObject
from resticwrap.planning.repair import Facts, cover, plan

NAMES = st.sampled_from([f"{letter}{number}" for letter in "abcd" for number in range(4)])
BLOBS = st.frozensets(st.sampled_from("stuvwxyz"))
KINDS = ("pack_damaged", "pack_missing", "pack_truncated")
FACTS = st.builds(
    Facts,
    small=st.lists(
        st.builds(BadObject, kind=st.sampled_from(("index", "snapshot")), name=NAMES,
                  sound=st.sampled_from(("version", "cache", None))), max_size=3,
    ).map(tuple),
    packs=st.lists(
        st.builds(BadObject, kind=st.sampled_from(KINDS), name=NAMES, sound=st.sampled_from(("version", None))),
        max_size=4,
    ).map(tuple),
    strange=st.integers(0, 2),
    unnamed=st.integers(0, 2),
    missing=BLOBS,
    elsewhere=st.dictionaries(NAMES, BLOBS, max_size=4),
    live=st.lists(NAMES, max_size=2, unique=True).map(tuple),
    hurt=st.lists(NAMES, max_size=2, unique=True).map(tuple),
    twins=st.lists(NAMES, max_size=2, unique=True).map(tuple),
)  # fmt: skip
ORDER = ("bring_back", "tidy", "rebuild_index", "salvage", "set_aside", "copy", "back_up", "cut")


@given(FACTS, st.booleans())
def test_a_repair_ends_and_cuts_only_when_agreed(facts: Facts, allow_loss: bool) -> None:
    """With facts that never change every step is tried once, in order, and a cut comes last or not at all."""
    tried, taken = set[tuple[str, str]](), list[str]()
    while steps := plan(facts, frozenset(tried), allow_loss=allow_loss):
        step = steps[0]
        fresh = {(step.action, name) for name in step.names}
        assert fresh - tried and step.why
        tried |= fresh
        taken.append(step.action)
        actions = [one.action for one in steps]
        assert "cut" not in actions[:-1] and (allow_loss or "cut" not in actions)
        places = [ORDER.index(one) for one in actions if one != "rebuild_index"]
        assert places == sorted(places)
    assert allow_loss or "cut" not in taken
    if "cut" in taken:
        assert taken[-1] == "cut"


@given(BLOBS, st.dictionaries(NAMES, BLOBS, max_size=6))
def test_cover(missing: frozenset[str], elsewhere: dict[str, frozenset[str]]) -> None:
    """All that any has is brought, each chosen one brings something new, and what is not missing is not asked for."""
    left, chosen = set(missing), cover(missing, elsewhere)
    for name in chosen:
        assert elsewhere[name] & left
        left -= elsewhere[name]
    assert not left & frozenset[str]().union(*elsewhere.values())


def test_what_does_not_open_is_left_alone() -> None:
    """Without its config nothing is written; with a sound copy of it that comes first, and alone."""
    pack = BadObject(kind="pack_missing", name="p")
    assert plan(Facts(small=(BadObject(kind="config", name="config"),), packs=(pack,)), allow_loss=True) == ()
    (step,) = plan(Facts(small=(BadObject(kind="config", name="config", sound="version"),), packs=(pack,)))
    assert step.action == "bring_back" and step.names == ("config",)
