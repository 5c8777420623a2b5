"""`rw doctor`: questions about this machine and the target, each answered on its own, each failure with what to do."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.dbswap import DbJournal
from resticwrap.model.kit import KitState
from resticwrap.model.policy import Domain, roots_of
from resticwrap.model.reports import Check, DoctorReport, LockInfo
from resticwrap.model.swap import Journal
from resticwrap.planning import dbrestore, inplace
from resticwrap.services.repositories import abandoned

CLOCK_LIMIT = 600.0
"""Seconds that the clock may be off the store's: S3 and OSS refuse signatures after 15 minutes."""
LOW, WANTED = 256 << 20, 2 << 30

Question = tuple[str, Callable[[], Iterable[Check]]]


def examine(target: str, questions: Sequence[Question]) -> DoctorReport:
    """Ask every question; one that cannot be answered is a failure with its own hint, and the next one is asked."""
    checks: list[Check] = []
    for name, ask in questions:
        try:
            checks += ask()
        except errors.PolicyError as error:
            checks += [
                Check(name=name, verdict="fail", detail=str(problem), hint="rw policy check")
                for problem in error.problems
            ]
        except errors.Failure as error:
            checks.append(Check(name=name, verdict="fail", detail=error.message, hint=error.hint))
    return DoctorReport(target=target, checks=tuple(checks))


def ok(name: str, detail: str) -> Check:
    """All is well."""
    return Check(name=name, verdict="ok", detail=detail)


def clock(ours: Time, theirs: Time | None) -> Check:
    """Ours against the store's `Date`."""
    if theirs is None:
        return ok("clock", f"{ours:%Y-%m-%d %H:%M:%S %Z}; the target has no clock to compare it with")
    off = abs((ours - theirs).total_seconds())
    if off > CLOCK_LIMIT:
        return Check(
            name="clock",
            verdict="fail",
            detail=f"{off:.0f} seconds off the target's clock",
            hint="Set the clock: timedatectl set-ntp true",
        )
    return ok("clock", f"{off:.0f} seconds off the target's clock")


def server_clock(ours: Time, theirs: Time | None) -> list[Check]:
    """Ours against that of the catalogue's server, by which those of all machines can be compared."""
    if theirs is None:
        return []
    off = abs((ours - theirs).total_seconds())
    if off <= CLOCK_LIMIT:
        return [ok("catalogue clock", f"{off:.0f} seconds off the clock of the catalogue's server")]
    return [
        Check(
            name="catalogue clock",
            verdict="fail",
            detail=f"{off:.0f} seconds off the clock of the catalogue's server",
            hint="Set the clock that is wrong: timedatectl set-ntp true",
        )
    ]


def names(taken: Mapping[str, errors.Failure], count: int) -> list[Check]:
    """Domains whose names another machine of the repository has: they are not backed up."""
    found = [
        Check(name=f"name: {name}", verdict="fail", detail=why.message, hint=why.hint) for name, why in taken.items()
    ]
    return found or [ok("names", f"{count} domains are no other machine's")]


def space(places: Mapping[str, tuple[Path, int]]) -> list[Check]:
    """Free bytes of every place that is written to, by what it is for."""
    checks = []
    for what, (path, free) in places.items():
        verdict = "fail" if free < LOW else "warn" if free < WANTED else "ok"
        checks.append(
            Check(
                name=f"space: {what}",
                verdict=verdict,  # type: ignore[arg-type]
                detail=f"{free / (1 << 30):.1f} GiB free at {path}",
                hint="" if verdict == "ok" else f"Make room at {path}.",
            )
        )
    return checks


def sources(domains: Mapping[str, Domain]) -> list[Check]:
    """Whether every root is there and may be read by us."""
    checks = []
    for name, root in roots_of(domains).items():
        if not os.path.exists(root):  # Path.exists raises where a folder on the way may not be entered
            checks.append(
                Check(
                    name=f"source: {name}",
                    verdict="fail",
                    detail=f"{root} is not there",
                    hint="Is it mounted, and is the variable that names it right? rw policy show",
                )
            )
        elif not os.access(root, os.R_OK | (os.X_OK if root.is_dir() else 0)):
            checks.append(
                Check(
                    name=f"source: {name}",
                    verdict="fail",
                    detail=f"{root} may not be read by user {os.geteuid()}",
                    hint=f"ls -ld {root}   (run rw as a user that may read it)",
                )
            )
    if not checks:
        checks.append(ok("sources", f"{len(domains)} roots are there and may be read"))
    return checks


def other_disk(target: Path, domains: Mapping[str, Domain], device: Callable[[Path], int]) -> list[Check]:
    """A local target on the disk of what it protects is lost together with it."""
    own = device(target)
    same = [name for name, root in roots_of(domains).items() if os.path.exists(root) and device(root) == own]
    if not same:
        return [ok("disk", f"{target} is on another disk than what it protects")]
    named = ", ".join(same[:3]) + (" …" if len(same) > 3 else "")
    return [
        Check(
            name="disk",
            verdict="warn",
            detail=f"{target} is on the same disk as {len(same)} of the domains it protects ({named})",
            hint="Mount another disk there (RW_LOCAL_PATH), or back up to s3 or oss as well, in a job of its own.",
        )
    ]


def locks(found: Sequence[LockInfo], now: Time, store_now: Time, target: str) -> list[Check]:
    """Locks whose holder is gone, or that nobody renews, stand in the way of whatever needs the repository alone."""
    left = [lock for lock in found if lock.state == "dead" or abandoned(lock, now, store_now)]
    if not left:
        return [ok("locks", f"{len(found)} locks, none left behind")]
    stale = any(lock.state == "foreign" for lock in left)
    return [
        Check(
            name="locks",
            verdict="warn",
            detail=f"{len(left)} of {len(found)} locks were left behind",
            hint=f"rw unlock --target {target}{' --stale' if stale else ''}",
        )
    ]


def recovery_kit(state: KitState, target: str) -> Check:
    """Whether there is a kit, and whether it opens what it should."""
    if state.ok and state.exported_at is not None:
        return ok("recovery kit", f"made on {state.exported_at:%Y-%m-%d}, and it opens what is there")
    return Check(
        name="recovery kit",
        verdict="warn",
        detail="; ".join(state.stale),
        hint=f"rw kit export --target {target}   (and keep it, and its passphrase, away from this machine)",
    )


def private(what: str, path: Path) -> Check:
    """A folder or file that only its owner should read."""
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return ok(what, f"{path} is not there yet")
    except OSError as error:
        return Check(name=what, verdict="fail", detail=f"{path}: {error.strerror}", hint=f"ls -ld {path}")
    if mode & 0o077:
        return Check(
            name=what,
            verdict="warn",
            detail=f"{path} may be read by others (mode {mode:o})",
            hint=f"chmod go= {path}",
        )
    return ok(what, f"{path} is private")


def kept_trees(journals: Iterable[Journal]) -> list[Check]:
    """In-place restores that are not over: both trees take room until somebody accepts or undoes them."""
    return [
        Check(name="left over", verdict="warn", detail=what[0], hint=what[1])
        for journal in journals
        if (what := inplace.standing(journal))
    ]


def kept_databases(journals: Iterable[DbJournal]) -> list[Check]:
    """The same of databases: both take room on their server."""
    return [
        Check(name="left over", verdict="warn", detail=what[0], hint=what[1])
        for journal in journals
        if (what := dbrestore.standing(journal))
    ]


def kept_manifests(jobs: Sequence[str]) -> list[Check]:
    """Manifests of backups and records of verifies that the target did not take yet."""
    if not jobs:
        return []
    return [
        Check(
            name="left over",
            verdict="warn",
            detail=f"{len(jobs)} manifests or records are not in the target yet, the first of {jobs[0]}",
            hint="rw backup   (the next job writes them)",
        )
    ]
