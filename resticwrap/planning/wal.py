"""Which files of the log belong to a base, which bases are still needed, and what is read out of a base as it goes by.

Pure. The names of segments are PostgreSQL's: timeline, and number, in hex (documentation, "WAL Internals").
"""

import io
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

import msgspec

from resticwrap.model.base import Time, from_json, to_json
from resticwrap.model.wal import ArchiveState, BaseFacts, KeptBase, LogFacts, Origin, ServerState

BLOCK = 512
FACTS = "rw.json"
"""Where a base says what it is: the last file of its tar."""
BASE_JSON = "base.json"
PARTIAL = ".partial"
HISTORY = ".history"
OLDEST = 13
"""The first version of PostgreSQL that writes a manifest into its base backups."""


def number(lsn: str) -> int:
    """The position that an LSN such as `0/2000028` stands for."""
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def lsn(position: int) -> str:
    """The other way round."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def segment_of(timeline: int, position: int, size: int) -> str:
    """The name of the segment in which a position lies."""
    per_id = (1 << 32) // size
    index = position // size
    return f"{timeline:08X}{index // per_id:08X}{index % per_id:08X}"


def segments(base: BaseFacts, reached: str) -> list[str]:
    """Every segment from the base's start to what was reached, in their order."""
    first, last = number(base.start) // base.segment, (number(reached) - 1) // base.segment
    return [segment_of(base.timeline, index * base.segment, base.segment) for index in range(first, last + 1)]


def is_segment(name: str) -> bool:
    return len(name) == 24 and all(char in "0123456789ABCDEF" for char in name)


def wanted(names: Iterable[str], base: BaseFacts) -> tuple[list[str], str]:
    """Of what was received, what belongs beside a base: whole files in their order, and the one that is being written
    (empty: none)."""
    first = segment_of(base.timeline, number(base.start), base.segment)
    there = sorted(names)
    whole = [name for name in there if name.endswith(HISTORY) or (is_segment(name) and name >= first)]
    partial = [name for name in there if name.endswith(PARTIAL) and name.removesuffix(PARTIAL) >= first]
    return whole, partial[-1] if partial else ""


def missing(names: Collection[str], base: BaseFacts, reached: str) -> str:
    """The first segment that is not there and without which nothing after it can be replayed; empty: none."""
    needed = segments(base, reached)
    for name in needed:
        if name not in names and not (name == needed[-1] and name + PARTIAL in names):
            return name
    return ""


def hole(names: Iterable[str], base: BaseFacts, kept: str = "") -> str:
    """Why what was received does not lead from a base to where it goes on; empty: it does. `kept`: from where on the
    server keeps its log for us. A file that is being written is fetched again from its beginning."""
    first, of_this = number(base.start) // base.segment, f"{base.timeline:08X}"
    there = {name for name in names if name.startswith(of_this) and is_segment(name.removesuffix(PARTIAL))}
    if not there:
        return "nothing is here any more of the log that was received"
    last = max(there, key=lambda name: (name.removesuffix(PARTIAL), name))
    goes_on = _index(last.removesuffix(PARTIAL), base.segment) + (0 if last.endswith(PARTIAL) else 1)
    for index in range(first, goes_on):
        if (name := segment_of(base.timeline, index * base.segment, base.segment)) not in there:
            return f"segment {name} of the log is missing here"
    if kept and number(kept) // base.segment > goes_on:
        return f"the server keeps its log for us from {kept} on, and what was received ends before that"
    return ""


def _index(name: str, size: int) -> int:
    return int(name[8:16], 16) * ((1 << 32) // size) + int(name[16:24], 16)


def torn(sizes: Mapping[str, int], segment: int) -> list[str]:
    """Files that were being written when there was no room: pg_receivewal goes on with none that is neither empty nor
    as long as a segment."""
    return [name for name, size in sizes.items() if name.endswith(PARTIAL) and size not in (0, segment)]


def before(names: Iterable[str], bases: Sequence[BaseFacts]) -> list[str]:
    """The segments that none of these bases needs."""
    if not bases:
        return []
    first = min(segment_of(base.timeline, number(base.start), base.segment) for base in bases)
    return [name for name in names if is_segment(name) and name < first]


def kept(bases: Sequence[KeptBase], held: Collection[str], proven: Collection[str]) -> list[KeptBase]:
    """The bases, oldest first, that the log has to be kept for: from the newest proven one on, and before any is proven
    all of them; but none that the repository has no more."""
    there = [one for one in bases if one.snapshot in held]
    last = max((at for at, one in enumerate(there) if one.snapshot in proven), default=0)
    return there[last:]


def joined(bases: Sequence[KeptBase], state: ArchiveState) -> set[str]:
    """The bases that can be gone on from without a gap: the oldest, and those that had ended before the newest snapshot
    of its log. Between the end of that log and a later base there would be moments that nothing has."""
    if not bases:
        return set()
    first, *others = bases
    until = state.until if state.last_base == first.snapshot else None
    return {first.snapshot, *(one.snapshot for one in others if until is not None and one.facts.ended <= until)}


def broken(origin: Origin | None, server: ServerState, slot: str) -> str:
    """Why the log that was received here cannot be gone on with; empty: it can."""
    if origin is None:
        return "nothing of its log was received here yet"
    if server.system != origin.system:
        return "the server is another one than the log is of"
    if server.timeline != origin.timeline:
        return f"the server has gone over to timeline {server.timeline}, and the log is of {origin.timeline}"
    if not server.slot:
        return f"the server has no replication slot {slot}"
    if server.slot == "lost":
        return f"the server has removed log that slot {slot} had to keep: its max_slot_wal_keep_size was reached"
    return ""


def gone_back(server: ServerState, reached: Iterable[str]) -> str:
    """Why a server is not the one any more whose log was received as far as this; empty: it is. One that was put back
    from a copy of its files writes other things into the same segments."""
    if server.flushed and any(number(server.flushed) < number(one) for one in reached):
        return f"the server stands at {server.flushed}, before what was received of it: it was put back"
    return ""


def unbounded(server: ServerState, slot: str) -> list[str]:
    """What is dangerous about how a slot is kept."""
    if server.keep_size != "-1":
        return []
    said = (
        f"Slot {slot} keeps the server's log for as long as it is not fetched, and without an end: set "
        "max_slot_wal_keep_size, or a backup that stands still fills the disk of the server."
    )
    return [said]


def why_base(bases: Sequence[KeptBase], origin: Origin | None, max_age: timedelta | None, now: Time) -> str:
    """Why a new base has to be made instead of going on from the newest one; empty: it need not."""
    if not bases:
        return "there is no base backup that the log could go on from"
    if origin is None or bases[0].origin != origin.id:
        return "the log that the last base backup goes on with is not here any more"
    if max_age is not None and now - bases[-1].facts.ended > max_age:
        return "the last base backup is older than wal.max_age"
    return ""


class TarLook:
    """Reads a base's tar as it goes by: keeps the files that it asks for, and gives on all but the end mark, so that
    more can be added."""

    def __init__(self, *names: str) -> None:
        self._names = {name.encode() for name in names}
        self._head = bytearray()
        self._left = 0
        self._body: bytearray | None = None
        self._pad = 0
        self.found: dict[str, bytearray] = {}
        self.ended = False
        """Whether the mark of its end was met."""

    def feed(self, data: memoryview) -> Iterator[memoryview | bytes]:
        """The next piece; yields what belongs to the archive."""
        carried, at = bytes(self._head), 0
        while at < len(data) and not self.ended:
            if self._left:
                step = min(self._left, len(data) - at)
                if self._body is not None:
                    self._body += data[at : at + min(step, max(self._left - self._pad, 0))]
                self._left, at = self._left - step, at + step
                continue
            step = min(BLOCK - len(self._head), len(data) - at)
            self._head += data[at : at + step]
            at += step
            if len(self._head) == BLOCK and self._header(bytes(self._head)):
                self._head.clear()
                if carried:
                    yield carried
                    carried = b""
        end = at - (BLOCK if self.ended else len(self._head))
        if end > 0:
            yield data[:end]

    def _header(self, head: bytes) -> bool:
        """Take a header; False where it is the mark of the end."""
        if not any(head):
            self.ended = True
            return False
        name, size = head[:100].rstrip(b"\0"), int(head[124:136].rstrip(b"\0 ") or b"0", 8)
        self._pad = -size % BLOCK
        self._left = size + self._pad
        self._body = self.found.setdefault(name.decode(), bytearray()) if name in self._names else None
        return True


def closing(facts: BaseFacts) -> bytes:
    """What ends a base's tar: a file that says what it is, and the mark of the end."""
    said = to_json(facts)
    head = tarfile.TarInfo(FACTS)
    head.size, head.mode = len(said), 0o600
    return head.tobuf(tarfile.USTAR_FORMAT) + said + bytes(-len(said) % BLOCK) + bytes(2 * BLOCK)


def facts_of(tail: bytes) -> BaseFacts | None:
    """The facts of a base out of the end of its tar; None where the piece does not reach back to them. Raises
    ValueError where what is there is none."""
    start = tail.rfind(FACTS.encode() + b"\0")
    if start < 0:
        return None
    with tarfile.open(fileobj=io.BytesIO(tail[start:])) as archive:
        file = archive.extractfile(archive.getmember(FACTS))
        assert file is not None
        return from_json(BaseFacts, file.read())


def ranges(manifest: bytes) -> tuple[int, str, str]:
    """Timeline, start and end of the log that a base needs, out of its manifest. Raises ValueError."""
    found = from_json(_Manifest, manifest)
    if len(found.ranges) != 1:
        raise ValueError("the base backup spans timelines")
    one = found.ranges[0]
    return one.timeline, one.start, one.end


class _Range(msgspec.Struct):
    timeline: int = msgspec.field(name="Timeline")
    start: str = msgspec.field(name="Start-LSN")
    end: str = msgspec.field(name="End-LSN")


class _Manifest(msgspec.Struct):
    ranges: list[_Range] = msgspec.field(name="WAL-Ranges")


def reaches(log: LogFacts, at: Time) -> bool:
    """Whether a moment can be restored from a snapshot of the log: its base had ended, and a commit after it is in the
    log, at which the replay stops."""
    return log.base.ended <= at < log.until


def settings_of(base: BaseFacts, more: Mapping[str, str]) -> dict[str, str]:
    """What a server is started with to replay: what the log needs, and ours."""
    return {**base.settings, **more}
