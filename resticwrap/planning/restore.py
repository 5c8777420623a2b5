"""Which snapshot a restore takes, and where its paths stand in it."""

from collections.abc import Callable, Sequence

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time
from resticwrap.model.snapshot import Snapshot


def choose(
    snapshots: Sequence[Snapshot],
    domain: str,
    *,
    wanted: str = "latest",
    at: Time | None = None,
    now: Time,
    complete: Callable[[Snapshot], bool | None],
    unknown: bool = False,
    last: str | None = None,
    host: str = "",
) -> Snapshot:
    """The snapshot of a domain that is wanted: by (the beginning of) its id, the latest, or as it stood `at` a time.

    A snapshot stands for the time until its domain's next one. Latest and `at` mean complete snapshots; an id means
    that one, complete or not; `unknown`: where none is known to be complete, one of which nothing is known will do.
    What is dated in the future was made while a clock was wrong, and is never the latest. Nor is what `host` made
    before the `last` complete one that it knows of, however it is dated. Raises NotFound, also where an id is not
    unambiguous.
    """
    own = [snapshot for snapshot in snapshots if snapshot.domain == domain]
    if wanted != "latest":
        found = [s for s in own if s.id.startswith(wanted) or s.original.startswith(wanted)]
        if len({s.original for s in found}) != 1:
            many = "more than one snapshot" if found else "no snapshot"
            raise errors.NotFound(
                f"Domain {domain} has {many} whose id begins with {wanted}.", hint=f"rw snapshots --domain {domain}"
            )
        return found[-1]
    fitting = [s for s in own if s.time <= now + CLOCK_SLACK and (at is None or s.time <= at)]
    fitting.sort(key=lambda s: (s.time, s.id), reverse=True)
    found_one = next((s for s in fitting if complete(s)), None)
    if found_one is None and unknown:
        found_one = next((s for s in fitting if complete(s) is None), None)
    if found_one is None:
        when = f" at or before {at:%Y-%m-%d %H:%M:%S %Z}" if at else ""
        raise errors.NotFound(
            f"Domain {domain} has no complete snapshot{when}.",
            hint=f"rw snapshots --domain {domain}   (on a new machine first: rw catalog rebuild)",
        )
    if at is None and found_one.host == host:
        return _made_later(own, found_one, last)
    return found_one


def owner(snapshots: Sequence[Snapshot], wanted: str) -> str:
    """The domain of the one snapshot whose id begins so. Raises NotFound where there is none, or more than one."""
    found = {s.original: s for s in snapshots if s.id.startswith(wanted) or s.original.startswith(wanted)}
    domains = [s.domain for s in found.values() if s.domain]
    if len(found) != 1 or not domains:
        many = "more than one snapshot" if len(found) > 1 else "no snapshot of ours"
        raise errors.NotFound(f"There is {many} whose id begins with {wanted}.", hint="rw snapshots")
    return domains[0]


def _made_later(own: Sequence[Snapshot], newest: Snapshot, last: str | None) -> Snapshot:
    """The last complete snapshot that is known to have been made, unless the newest by date stands on it."""
    known = next((s for s in own if s.original == last), None)
    if known is None or newest.original == known.original:
        return newest
    by_id = {name: s for s in own for name in (s.id, s.original)}
    before, seen = newest.parent, set[str]()
    while before is not None and before not in seen and before in by_id:
        if by_id[before].original == known.original:
            return newest
        seen.add(before)
        before = by_id[before].parent
    return known


def doubts(
    snapshots: Sequence[Snapshot],
    domain: str,
    chosen: Snapshot,
    *,
    wanted: str = "latest",
    at: Time | None = None,
    now: Time,
    complete: Callable[[Snapshot], bool | None],
) -> list[str]:
    """What a person should know of a choice, as sentences."""
    said = []
    if not complete(chosen):
        said.append(
            f"{domain}: snapshot {chosen.original[:8]} is not known to be complete: what could not be read when it was "
            "made is not in it."
        )
    if wanted != "latest":
        return said
    future = [s for s in snapshots if s.domain == domain and s.time > now + CLOCK_SLACK and s is not chosen]
    if future:
        newest = max(future, key=lambda s: s.time)
        said.append(
            f"{domain}: {len(future)} snapshots are dated in the future, the newest {newest.original[:8]} at "
            f"{newest.time:%Y-%m-%d %H:%M:%S %Z}. A clock was wrong, and they are passed over; --snapshot takes one."
        )
    passed = [
        s for s in snapshots
        if at is None and s.domain == domain and chosen.time < s.time <= now + CLOCK_SLACK and complete(s)
    ]  # fmt: skip
    if passed:
        newest = max(passed, key=lambda s: s.time)
        said.append(
            f"{domain}: snapshot {newest.original[:8]} is dated later, at {newest.time:%Y-%m-%d %H:%M:%S %Z}, but "
            f"{chosen.original[:8]} was made after it. A clock was wrong; --snapshot takes the other one."
        )
    return said


def is_marked(snapshot: Snapshot) -> bool:
    """Whether a copy in cold is marked: it was proven to be what its original is."""
    return snapshot.tags is not None and snapshot.tags.tier == "cold"


def marked_first(copies: Sequence[Snapshot]) -> list[Snapshot]:
    """The copies of cold without those of which there is a marked one as well: a mark gives a copy another id, and a
    crash between the two leaves both."""
    marked = {copy.original for copy in copies if is_marked(copy)}
    return [copy for copy in copies if is_marked(copy) or copy.original not in marked]


def unmarked(domain: str, copy: Snapshot) -> list[str]:
    """What a person should know of a copy that is taken from cold, as sentences."""
    if is_marked(copy):
        return []
    said = (
        f"{domain}: snapshot {copy.original[:8]} is a copy in cold that was never proven to be what its original is. "
        "What is restored of it is compared with its own tree."
    )
    return [said]


def incomplete(domain: str, snapshot: Snapshot) -> errors.Failure:
    """What is not in a partial snapshot would be missing from the live place without a word."""
    return errors.RestoreRefused(
        f"Snapshot {snapshot.original[:8]} of {domain} is not known to be complete: what could not be read when it was "
        "made would be missing in its place.",
        hint=f"Restore it beside: rw restore --domain {domain} --snapshot {snapshot.original[:8]} --to FOLDER. "
        "On a new machine first: rw catalog rebuild. Or the same with --force.",
    )


def inside(root: bytes, path: str) -> bytes:
    """Where a path of a domain stands in its snapshot. Raises UsageError for one that would leave the domain."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise errors.UsageError(
            f"The path {path} leaves its domain.", hint="Give a path below the domain's root: rw ls"
        )
    return b"/".join([root, *(part.encode("utf-8", "surrogateescape") for part in parts)])
