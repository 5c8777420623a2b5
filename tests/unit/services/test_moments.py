"""Which snapshot of a log a moment is restored from, and where its replay stops: never after the moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from resticwrap import errors
from resticwrap.model.base import to_json
from resticwrap.model.snapshot import Snapshot
from resticwrap.model.wal import BaseFacts, LogFacts
from resticwrap.planning import wal
from resticwrap.services.databases import moments
from tests.unit.planning.test_restore import NOW, snapshot


@dataclass
class Entry:
    content: tuple[bytes, ...]


class Trees:
    """What base and logs say of themselves, by the name of their snapshot."""

    def __init__(self, said: dict[str, bytes]) -> None:
        self.said = said

    def walk(self, tree: str, path: bytes) -> Iterator[Entry]:
        yield Entry((tree.encode(),))

    def blob(self, name: bytes) -> bytes:
        return self.said[name.decode()]


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def base(ended: float) -> BaseFacts:
    return BaseFacts(
        system="1", timeline=1, start="0/1", end="0/2", began=at(ended - 0.1), ended=at(ended), server="15.1",
        segment=1 << 24, user="u",
    )  # fmt: skip


SAID = {
    "b1": wal.closing(base(1)),
    "w1": to_json(LogFacts(base=base(1), snapshot="b1", reached="0/3", until=at(2))),
    "w2": to_json(LogFacts(base=base(1), snapshot="b1", reached="0/4", until=at(3))),
    "b2": wal.closing(base(5)),
    "w3": to_json(LogFacts(base=base(5), snapshot="b2", reached="0/5", until=at(6))),
    "w4": to_json(LogFacts(base=base(5.5), snapshot="b3", reached="0/6", until=at(7))),
}


def one(name: str, hours: float, of: str = "") -> Snapshot:
    found = msgspec.structs.replace(snapshot(name, hours), tree=name)
    assert found.tags is not None
    return msgspec.structs.replace(found, tags=msgspec.structs.replace(found.tags, base=of))


ALL = [one("b1", 1), one("w1", 2, "b1"), one("w2", 3, "b1"), one("b2", 5)]


@pytest.mark.parametrize(
    ("hours", "name", "until", "noted"),
    [
        (1, "w1", 1, False),  # the first moment that there is
        (2, "w2", 2, False),  # the first log ended then
        (2.9, "w2", 2.9, False),
        (3.01, "w2", 3, True),  # in the gap between two logs: no more than the older one promises
        (9, "b2", None, True),  # a base alone, to its own end
    ],
)
def test_where_a_replay_stops(hours: float, name: str, until: float | None, noted: bool) -> None:
    found = moments.pick(ALL, "exams", at(hours), lambda _: True, lambda _: cast("Any", Trees(SAID)))
    assert found is not None
    assert (found.snapshot.id, found.until) == (name, None if until is None else at(until))
    assert bool(found.notes) == noted


def test_a_server_whose_clock_is_ahead() -> None:
    """Its log was made, by our clock, before the moment by its own."""
    early = [one("b1", -5), one("w2", -3, "b1")]
    found = moments.pick(early, "exams", at(2.5), lambda _: True, lambda _: cast("Any", Trees(SAID)))
    assert found is not None and found.until == at(2.5) and not found.notes


def test_before_the_first_base() -> None:
    with pytest.raises(errors.NotFound, match="first moment"):
        moments.pick(ALL, "exams", at(0.9), lambda _: True, lambda _: cast("Any", Trees(SAID)))


def test_a_span_has_no_gap() -> None:
    """Logs of two bases that overlap are one; what lies before a lost slot does not count."""

    def span(*logs: Snapshot) -> tuple[datetime, datetime] | None:
        found = moments.span([*ALL, *logs], "exams", lambda _: cast("Any", Trees(SAID)))
        return (found.since, found.until) if found else None

    assert span() == (at(1), at(3))
    assert span(one("w3", 6, "b2")) == (at(5), at(6))
    assert span(one("w3", 6, "b2"), one("w4", 7, "b3")) == (at(5), at(7))
    assert moments.span(ALL, "other", lambda _: None) is None
