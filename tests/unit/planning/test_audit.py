"""Whatever is done to a chain is found as long as one head outlives it, and nothing else is ever accused."""

import hashlib
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from resticwrap.model.base import to_json
from resticwrap.model.evidence import Event, Evidence
from resticwrap.planning.audit import Witness, audit

START = datetime(2026, 3, 1, tzinfo=UTC)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def chain(name: str, count: int, *, salt: str = "", keep: dict[int, bytes] | None = None) -> dict[int, bytes]:
    """A sound chain; with `keep` one that goes on from those records."""
    records = dict(keep or {})
    for seq in range(len(records), count):
        event = Event(
            id=f"event_{name}_{seq}", kind="verify" if seq else "genesis", at=START + timedelta(hours=seq), by="root",
            host="vm", body={"salt": salt},
        )  # fmt: skip
        previous = digest(records[seq - 1]) if seq else ""
        records[seq] = to_json(Evidence(installation=name, target="main", seq=seq, previous=previous, event=event))
    return records


def heads(records: dict[int, bytes], name: str, seqs: list[int]) -> list[Witness]:
    return [Witness(who=f"head {seq}", installation=name, seq=seq, digest=digest(records[seq])) for seq in seqs]


SIZES = st.integers(1, 9)


@settings(max_examples=60)
@given(SIZES, st.data())
def test_an_untouched_chain_is_never_accused(count: int, data: st.DataObject) -> None:
    """Whichever of its records somebody remembers, beside chains that nobody remembers."""
    records = chain("a", count)
    known = data.draw(st.lists(st.integers(0, count - 1), unique=True))
    audited, findings = audit({"a": records, "b": chain("b", 3)}, heads(records, "a", known), "a", "main")
    assert findings == []
    assert [(one.records, one.witnessed) for one in audited] == [(count, max(known, default=None)), (3, None)]


@settings(max_examples=150)
@given(SIZES, st.sampled_from(["edit", "delete", "swap", "cut", "rewrite", "renumber"]), st.data())
def test_whatever_is_done_before_a_head_is_found(count: int, how: str, data: st.DataObject) -> None:
    """And the number that is named is not after the first that was touched by more than the link that broke."""
    records = chain("a", count + 1)
    at = data.draw(st.integers(0, count))
    known = heads(records, "a", [data.draw(st.integers(at, count))])
    touched = dict(records)
    if how == "edit":
        place = data.draw(st.integers(0, len(records[at]) - 1))
        touched[at] = records[at][:place] + bytes([records[at][place] ^ data.draw(st.integers(1, 127))]) + (
            records[at][place + 1 :]
        )  # fmt: skip
    elif how == "delete":
        del touched[at]
    elif how == "swap":
        other = data.draw(st.integers(0, count).filter(lambda number: number != at))
        touched[at], touched[other] = records[other], records[at]
        at = min(at, other)
    elif how == "cut":
        touched = {seq: body for seq, body in records.items() if seq < at}
    elif how == "rewrite":
        kept = {seq: body for seq, body in records.items() if seq < at}
        touched = chain("a", count + 1, salt="forged", keep=kept)
    else:
        touched = dict(enumerate(body for seq, body in records.items() if seq != at))
    _, findings = audit({"a": touched} if touched else {}, known, "a", "main")
    assert findings
    assert min(one.seq for one in findings) <= max(known[0].seq, at + 1)


def test_a_genesis_remembers_other_chains() -> None:
    """So a machine that lost its state cannot hide that the chain it wrote before was cut; and what stands there
    that is no head is nobody's witness."""
    old = chain("old", 4)
    event = Event(
        id="event_new", kind="genesis", at=START, by="root", host="vm",
        body={"chains": [{"installation": "old", "seq": 3, "digest": digest(old[3])}, 7, {"seq": "x"}]},
    )  # fmt: skip
    new = {0: to_json(Evidence(installation="new", target="main", seq=0, previous="", event=event))}
    audited, findings = audit({"old": old, "new": new}, [])
    assert (findings, [one.witnessed for one in audited]) == ([], [None, 3])
    cut = {seq: body for seq, body in old.items() if seq < 3}
    (found,) = audit({"old": cut, "new": new}, [])[1]
    assert (found.kind, found.installation, found.seq) == ("cut", "old", 3)
    assert "the genesis of chain new" in found.message
    (found,) = audit({"new": new}, [])[1]
    assert (found.kind, found.installation) == ("gone", "old")


def test_what_a_chain_says_of_itself_is_held_against_its_place() -> None:
    """Number, chain and target; a first record that is no genesis, and a second one."""
    records = chain("a", 3)
    assert {one.kind for one in audit({"b": records}, [])[1]} == {"misplaced"}
    assert {one.kind for one in audit({"a": records}, [], "a", "other")[1]} == {"misplaced"}
    assert {one.kind for one in audit({"a": {**records, 1: b"{}"}}, [])[1]} == {"unreadable", "broken"}
    lone = {0: to_json(Evidence(installation="a", target="main", seq=0, previous="", event=_event()))}
    assert [one.kind for one in audit({"a": lone}, [])[1]] == ["no_genesis"]


def _event() -> Event:
    return Event(id="event_x", kind="verify", at=START, by="root", host="vm")
