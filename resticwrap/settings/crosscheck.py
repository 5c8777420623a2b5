"""What no file can know alone: names that must exist in another, and folders that must not contain each other."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from resticwrap.errors import Problem
from resticwrap.settings.tree import Item, PathOfKey, dotted, locate

if TYPE_CHECKING:
    from resticwrap.model.alerting import AlertsFile
    from resticwrap.model.policy import Domain, DomainsFile, ScheduleFile, Target, TargetsIndex, TiersFile

TARGETS, DOMAINS, TIERS, SCHEDULE = "targets.yaml", "domains.yaml", "tiers.yaml", "schedule.yaml"
GATES, RECOVERY, ALERTS = "gates.yaml", "recovery.yaml", "alerts.yaml"


def _at(file: str, tree: Item, path: PathOfKey, message: str) -> Problem:
    return Problem(file, locate(tree, path).line, dotted(path), message)


def default_target(index: "TargetsIndex", tree: Item) -> Iterable[Problem]:
    """The default is one of the targets."""
    if index.default is not None and index.default not in index.targets:
        yield _at(TARGETS, tree, ("default",), f"names no target; there are {', '.join(index.targets)}")


def jobs(
    schedule: "ScheduleFile", tree: Item, targets: Iterable[str] | None, domains: Iterable[str] | None
) -> Iterable[Problem]:
    """Every job names a target and domains that exist. None: that file could not be read, so nothing is said."""
    for name, job in schedule.jobs.items():
        if targets is not None and job.target not in targets:
            yield _at(SCHEDULE, tree, ("jobs", name, "target"), f"names no target; there are {', '.join(targets)}")
        for number, domain in enumerate(job.domains):
            if domains is not None and domain not in domains:
                yield _at(SCHEDULE, tree, ("jobs", name, "domains", number), f"names no domain of {DOMAINS}")
        for number, domain in enumerate(job.excepted):
            if domains is not None and domain not in domains:
                yield _at(SCHEDULE, tree, ("jobs", name, "except", number), f"names no domain of {DOMAINS}")
        if domains is not None and job.excepted and not {*domains} - {*job.excepted}:
            yield _at(SCHEDULE, tree, ("jobs", name, "except"), f"leaves no domain of {DOMAINS} to work on")


def resolved(schedule: "ScheduleFile", domains: Iterable[str]) -> "ScheduleFile":
    """The schedule with the domains of every job that has `except`: each then names what it works on."""
    names = tuple(domains)
    jobs = {
        name: job.model_copy(update={"domains": tuple(one for one in names if one not in job.excepted)})
        if job.excepted
        else job
        for name, job in schedule.jobs.items()
    }
    return schedule.model_copy(update={"jobs": MappingProxyType(jobs)})


def alerts(file: "AlertsFile", tree: Item, scheduled: Iterable[str] | None) -> Iterable[Problem]:
    """What is named is there: channels of the summary, jobs with checks. None: the schedule could not be read."""
    channels, checks = file.alerts.channels, file.alerts.healthchecks.jobs
    for number, name in enumerate(file.alerts.summary.channels):
        if name not in channels:
            where = ("alerts", "summary", "channels", number)
            yield _at(ALERTS, tree, where, f"names no channel; there are {', '.join(channels) or 'none'}")
    for name in checks:
        if scheduled is not None and name not in scheduled:
            yield _at(ALERTS, tree, ("alerts", "healthchecks", "jobs", name), f"names no job of {SCHEDULE}")


def roots(domains: "DomainsFile", tree: Item) -> Iterable[Problem]:
    """No two domains are the very same folder. One may lie inside another."""
    seen: dict[Path, str] = {}
    for name, domain in domains.domains.items():
        if domain.source.root is None or domain.source.type == "secrets":
            continue
        first = seen.setdefault(domain.source.root, name)
        if first != name:
            path = ("domains", name, "source", "path" if domain.source.type == "sqlite" else "root")
            yield _at(DOMAINS, tree, path, f"is the same folder as the root of domain {first}")


def retention(domains: "DomainsFile", tiers: "TiersFile", tree: Item) -> Iterable[Problem]:
    """Cold outlasts hot for every domain too, whatever it wants of either."""
    from resticwrap.model.policy import tier_of

    for name, domain in domains.domains.items():
        if domain.retention is None:
            continue
        (hot, _), (cold, _) = tier_of(tiers.tiers, domain, "hot"), tier_of(tiers.tiers, domain, "cold")
        if cold < hot:
            path = ("domains", name, "retention")
            yield _at(DOMAINS, tree, path, f"keeps {hot} days in hot and {cold} in cold: cold must outlast hot")


def local_target(name: str, target: "Target", item: Item, domains: "Mapping[str, Domain]") -> Iterable[Problem]:
    """A local target and what it protects lie apart, by the text of their paths."""
    if target.provider != "local":
        return
    line = locate(item, ("path",)).line
    for wrong in within(target.path, _roots(domains), domains):
        yield Problem(TARGETS, line, dotted(("targets", name, "path")), wrong)


def really_apart(name: str, target: "Target", domains: "Mapping[str, Domain]") -> list[Problem]:
    """The same by where the paths really lead now, symlinks resolved: for when they are used."""
    if target.provider != "local":
        return []
    roots = {one: Path(os.path.realpath(root)) for one, root in _roots(domains).items()}
    wrong = within(Path(os.path.realpath(target.path)), roots, domains)
    return [Problem(TARGETS, 0, dotted(("targets", name, "path")), f"really {said}") for said in wrong]


def _roots(domains: "Mapping[str, Domain]") -> dict[str, Path]:
    """The folders that a target may not lie in: of secrets only the named files are backed up."""
    from resticwrap.model.policy import roots_of

    return roots_of({name: one for name, one in domains.items() if one.source.type != "secrets"})


def within(path: Path, roots: Mapping[str, Path], domains: "Mapping[str, Domain]") -> Iterable[str]:
    """What is wrong with where a target's folder lies: a repository inside a domain would back itself up."""
    for name, root in roots.items():
        domain = domains[name]
        if path.is_relative_to(root) and not excluded(path, root, domain.excludes):
            yield f"lies inside the root of domain {name}, which would back up its own backups; exclude it there"
        elif root.is_relative_to(path) and root != path:
            yield f"contains the root of domain {name}; a target's folder is for backups alone"


def excluded(path: Path, root: Path, patterns: Sequence[str]) -> bool:
    """Whether restic's exclude patterns keep `path`, or a folder on the way to it from `root`, out of a backup.

    A pattern from `/` is matched from there, any other anywhere on the path; `*` stays inside a name, `**` crosses
    folders, `!` takes back. The root itself is named on restic's command line, and that is never excluded.
    """
    depth = len(root.parts)
    return any(_matches(Path(*path.parts[: depth + at + 1]), patterns) for at in range(len(path.parts) - depth))


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    verdict = False
    for pattern in patterns:
        taken_back = pattern.startswith("!")
        text = os.path.normpath(pattern.lstrip("!"))
        names = "".join("(?:/[^/]+)*" if part == "**" else "/" + _name(part) for part in text.strip("/").split("/"))
        if re.fullmatch(names if text.startswith("/") else "(?:/[^/]+)*" + names, str(path)):
            verdict = not taken_back
    return verdict


def _name(part: str) -> str:
    """One name of a pattern: `*`, `?` and `[a-z]` as in a shell; a broken bracket stands for itself."""
    pieces = re.split(r"(\*|\?|\[\^?[^\]/]+\])", part)
    return "".join(
        "[^/]*" if piece == "*" else "[^/]" if piece == "?" else piece if at % 2 else re.escape(piece)
        for at, piece in enumerate(pieces)
    )
