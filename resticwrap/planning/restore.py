"""Which snapshot a restore takes, and where its paths stand in it."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.snapshot import Snapshot

CLOCK_SLACK = timedelta(minutes=10)


def choose(
    snapshots: Sequence[Snapshot],
    domain: str,
    *,
    wanted: str = "latest",
    at: Time | None = None,
    now: Time,
    complete: Callable[[Snapshot], bool],
) -> Snapshot:
    """The snapshot of a domain that is wanted: by (the beginning of) its id, the latest, or as it stood `at` a time.

    A snapshot stands for the time until its domain's next one. Latest and `at` mean complete snapshots; an id means
    that one, complete or not. What is dated in the future was made while a clock was wrong, and is never the latest.
    Raises NotFound, also where an id is not unambiguous.
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
    sound = [s for s in own if complete(s) and s.time <= now + CLOCK_SLACK]
    fitting = [s for s in sound if at is None or s.time <= at]
    if not fitting:
        when = f" at or before {at:%Y-%m-%d %H:%M:%S %Z}" if at else ""
        raise errors.NotFound(
            f"Domain {domain} has no complete snapshot{when}.",
            hint=f"rw snapshots --domain {domain}   (on a new machine first: rw catalog rebuild)",
        )
    return max(fitting, key=lambda s: (s.time, s.id))


def inside(root: bytes, path: str) -> bytes:
    """Where a path of a domain stands in its snapshot. Raises UsageError for one that would leave the domain."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise errors.UsageError(
            f"The path {path} leaves its domain.", hint="Give a path below the domain's root: rw ls"
        )
    return b"/".join([root, *(part.encode("utf-8", "surrogateescape") for part in parts)])
