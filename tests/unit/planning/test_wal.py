"""Which files of a log belong together, and what is read out of a base while it goes by in whatever pieces."""

import io
import tarfile
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.model.wal import ArchiveState, BaseFacts, KeptBase, LogFacts, Origin, ServerState
from resticwrap.planning import wal

NOW = datetime(2026, 11, 28, tzinfo=UTC)
MIB = 1 << 20
BASE = BaseFacts(
    system="7", timeline=1, start="0/2000028", end="0/2000100", began=NOW, ended=NOW, server="15.1", segment=16 * MIB,
    user="postgres",
)  # fmt: skip
SERVER = ServerState(
    system="7", timeline=1, version=15, server="15.1", segment=16 * MIB, user="postgres", standby=False,
    slot="reserved", keep_size="1GB", level="replica", tablespaces=(), settings={}, now=NOW,
)  # fmt: skip


def base(name: str, ended: datetime = NOW, origin: str = "o") -> KeptBase:
    return KeptBase(snapshot=name, facts=msgspec.structs.replace(BASE, ended=ended), origin=origin)


@given(st.integers(0, (1 << 64) - 1))
def test_positions_round_trip(position: int) -> None:
    assert wal.number(wal.lsn(position)) == position


@pytest.mark.parametrize(
    ("position", "size", "name"),
    [
        ("0/2000028", 16 * MIB, "000000010000000000000002"),
        ("1/0", 16 * MIB, "000000010000000100000000"),
        ("0/FFFFFFFF", 16 * MIB, "0000000100000000000000FF"),
        ("3/40000000", 1024 * MIB, "000000010000000300000001"),
    ],
)
def test_names_of_segments(position: str, size: int, name: str) -> None:
    """As pg_walfile_name says them."""
    assert wal.segment_of(1, wal.number(position), size) == name


def test_a_position_at_the_end_of_a_segment_needs_no_next_one() -> None:
    assert wal.segments(BASE, "0/3000000") == ["000000010000000000000002"]
    assert len(wal.segments(BASE, "0/3000001")) == 2


def test_what_is_staged_and_what_is_missing() -> None:
    names = [f"{1:08X}{0:08X}{n:08X}" for n in range(1, 6)]
    there = [*names[:4], f"{names[4]}.partial", "00000001.history", "archive_status"]
    whole, partial = wal.wanted(there, BASE)
    assert whole == ["00000001.history", *names[1:4]] and partial == f"{names[4]}.partial"
    assert wal.missing([*whole, partial], BASE, "0/5000001") == ""
    assert wal.missing([*whole], BASE, "0/5000001") == names[4]
    assert wal.missing([names[1], names[3], partial], BASE, "0/5000001") == names[2]
    assert wal.missing([names[1], f"{names[2]}.partial", names[3], partial], BASE, "0/5000001") == names[2]
    assert wal.before(there, [BASE]) == names[:1] and wal.before(there, []) == []


def test_which_bases_are_gone_on_from() -> None:
    """From the newest proven one on; before any is proven from all; never from one that is gone."""
    bases = [base("a"), base("b"), base("c")]

    def kept(held: str, proven: str) -> str:
        return "".join(one.snapshot for one in wal.kept(bases, held, proven))

    assert (kept("abc", ""), kept("abc", "a"), kept("abc", "ab"), kept("ac", "b")) == ("abc", "abc", "bc", "ac")
    assert (kept("bc", ""), kept("", "abc")) == ("bc", "")


def test_no_gap_between_an_old_log_and_a_new_base() -> None:
    """Proven or not, a base is gone on from only once the older one's log has come to it."""
    bases = [base("a"), base("b", NOW + timedelta(hours=2))]

    def joined(last_base: str, until: datetime | None) -> set[str]:
        return wal.joined(bases, ArchiveState(last="w", last_base=last_base, until=until))

    assert joined("a", NOW + timedelta(hours=1)) == joined("a", None) == joined("b", NOW + timedelta(days=1)) == {"a"}
    assert joined("a", NOW + timedelta(hours=2)) == {"a", "b"}
    assert wal.joined([], ArchiveState()) == set()


def test_why_a_base_is_made() -> None:
    origin = Origin(id="o", system="7", timeline=1)
    assert "no base" in wal.why_base([], origin, None, NOW)
    assert "not here" in wal.why_base([base("a", origin="older")], origin, None, NOW)
    old = [base("a", NOW - timedelta(days=8)), base("b", NOW - timedelta(days=2))]
    assert wal.why_base(old, origin, timedelta(days=3), NOW) == ""
    assert "max_age" in wal.why_base(old, origin, timedelta(days=1), NOW)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"slot": ""}, "no replication slot"),
        ({"slot": "lost"}, "max_slot_wal_keep_size"),
        ({"slot": "unreserved"}, ""),
        ({"timeline": 2}, "timeline 2"),
        ({"system": "8"}, "another one"),
    ],
)
def test_when_a_log_cannot_be_gone_on_with(change: dict[str, object], why: str) -> None:
    origin = Origin(id="o", system="7", timeline=1)
    found = wal.broken(origin, msgspec.structs.replace(SERVER, **change), "slot")
    assert why in found if why else found == ""
    assert wal.broken(None, SERVER, "slot")


def test_where_a_log_has_a_hole() -> None:
    """From the base's start (segment 2) to where it goes on; what the server gave up must be here."""
    names = [f"{1:08X}{0:08X}{n:08X}" for n in range(8)]
    partial = f"{names[4]}.partial"

    def hole(*there: str, kept: str = "") -> str:
        return wal.hole(there, BASE, kept)

    assert hole(*names[1:4], partial, "00000001.history", kept="0/4000000") == ""
    assert hole(names[0]) == hole(names[1] + ".partial") == ""  # what is older than the base goes on to it
    assert names[2] in hole(partial) and names[3] in hole(names[2], partial)
    assert names[2] in hole(f"{names[2]}.partial", names[3]) and hole() and hole("00000002" + names[2][8:])
    assert hole(*names[1:4], kept="0/4000028") == "" and "0/5000028" in hole(*names[1:4], kept="0/5000028")
    assert hole(*names[1:4], partial, kept="0/4FFFFFF") == "" and hole(*names[1:4], partial, kept="0/5000000")


def test_what_a_full_disk_leaves() -> None:
    sizes = {"1.partial": 0, "2.partial": 16 * MIB, "3.partial": 8192, "4": 8192}
    assert wal.torn(sizes, 16 * MIB) == ["3.partial"]


def test_a_server_that_was_put_back() -> None:
    at = msgspec.structs.replace(SERVER, flushed="0/3000000")
    assert wal.gone_back(at, ["0/2000000", "0/3000000"]) == "" and wal.gone_back(SERVER, ["0/3000001"]) == ""
    assert "put back" in wal.gone_back(at, ["0/2000000", "0/3000001"])


def test_which_moments_a_log_reaches() -> None:
    log = LogFacts(base=BASE, snapshot="a", reached="0/3", until=NOW + timedelta(hours=1))
    moments = [NOW - timedelta(seconds=1), NOW, NOW + timedelta(minutes=59), NOW + timedelta(hours=1)]
    assert [wal.reaches(log, at) for at in moments] == [False, True, True, False]


FILES = st.dictionaries(
    st.sampled_from(["backup_label", "base/1/1", "base/1/2", "global/pg_control", "backup_manifest"]),
    st.binary(max_size=2000),
    min_size=1,
)


@given(FILES, st.lists(st.integers(1, 1500), min_size=1), st.integers(0, 3))
def test_a_base_in_any_pieces(files: dict[str, bytes], cuts: list[int], more: int) -> None:
    """What goes on is the archive without its end; with what we add it is an archive again, and says what it is."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(_folder("pg_wal"))
        for name, content in files.items():
            head = tarfile.TarInfo(name)
            head.size = len(content)
            archive.addfile(head, io.BytesIO(content))
    data, at, passed = out.getvalue() + bytes(512 * more), 0, bytearray()
    look = wal.TarLook("backup_manifest", "backup_label")
    for number in range(len(data)):
        step = cuts[number % len(cuts)]
        for piece in look.feed(memoryview(data)[at : at + step]):
            passed += piece
        at += step
        if at >= len(data):
            break
    assert look.ended
    wanted = {name: files[name] for name in ("backup_manifest", "backup_label") if name in files}
    assert {name: bytes(body) for name, body in look.found.items()} == wanted
    whole = bytes(passed) + wal.closing(BASE)
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        assert archive.getnames() == ["pg_wal", *files, wal.FACTS]
        for name, content in files.items():
            file = archive.extractfile(name)
            assert file is not None and file.read() == content
    assert wal.facts_of(whole) == wal.facts_of(whole[-4000:]) == BASE
    assert wal.facts_of(whole[-600:]) is None


def _folder(name: str) -> tarfile.TarInfo:
    head = tarfile.TarInfo(name)
    head.type = tarfile.DIRTYPE
    return head


def test_what_a_manifest_says() -> None:
    text = b'{"Files": [], "WAL-Ranges": [{"Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100"}]}'
    assert wal.ranges(text) == (1, "0/2000028", "0/2000100")
    with pytest.raises(ValueError, match="timelines"):
        wal.ranges(b'{"WAL-Ranges": []}')
