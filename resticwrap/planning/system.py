"""The restore of a whole system, decided: which domains, of which look, in which order, and what is left to do."""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from resticwrap.model.base import Value
from resticwrap.model.job import DomainRun, Manifest
from resticwrap.model.snapshot import Priority, Snapshot, TierName


class Pick(Value, frozen=True):
    """One domain's snapshot. `run` is the newest complete look that found it so, of `job`; None where no manifest tells
    of one: then it is the newest snapshot, and nobody knows whether it is complete."""

    domain: str
    priority: Priority
    tier: TierName
    snapshot: Snapshot
    core: bool
    run: DomainRun | None = None
    job: str = ""


class Looks:
    """Takes manifests, newest first, until it knows the newest complete look of every domain there is a snapshot of."""

    def __init__(self, domains: Iterable[str], snapshots: Sequence[Snapshot]) -> None:
        self._there = {snapshot.original for snapshot in snapshots}
        self._oldest: dict[str, Snapshot] = {}
        wanted = set(domains)
        for snapshot in snapshots:
            if snapshot.domain is not None and snapshot.domain in wanted:
                old = self._oldest.get(snapshot.domain)
                self._oldest[snapshot.domain] = snapshot if old is None or snapshot.time < old.time else old
        self.found: dict[str, tuple[DomainRun, str]] = {}

    def take(self, manifest: Manifest) -> None:
        """Of several the look that began last counts, in whichever order they come."""
        for listed in manifest.domains:
            run = listed.run
            if run.domain not in self._oldest or not run.complete or run.snapshot not in self._there:
                continue
            known = self.found.get(run.domain)
            if known is None or run.looked_at > known[0].looked_at:
                self.found[run.domain] = (run, manifest.job_id)

    def enough(self, oldest: Manifest) -> bool:
        """Whether older manifests than this one cannot tell of anything better."""
        return all(name in self.found or oldest.finished_at < snapshot.time for name, snapshot in self._oldest.items())


def pick(
    priorities: Mapping[str, Priority],
    snapshots: Sequence[tuple[Snapshot, TierName]],
    looks: Mapping[str, tuple[DomainRun, str]],
    core: Sequence[Priority],
) -> tuple[list[Pick], list[str]]:
    """What comes back in which order, the core first and P0 before P1 before P2, and the domains that have nothing.

    `snapshots` of hot stand before those of cold: what is in both is taken from hot.
    """
    picks, missing = [], []
    for name, priority in priorities.items():
        own = [(snapshot, tier) for snapshot, tier in snapshots if snapshot.domain == name]
        run, job = looks.get(name, (None, ""))
        wanted = next((one for one in own if run is not None and one[0].original == run.snapshot), None)
        chosen = wanted or max(own, key=lambda one: one[0].time, default=None)
        if chosen is None:
            missing.append(name)
            continue
        picks.append(
            Pick(
                domain=name,
                priority=priority,
                tier=chosen[1],
                snapshot=chosen[0],
                core=priority in core,
                run=run if wanted else None,
                job=job if wanted else "",
            )
        )
    return sorted(picks, key=lambda one: (not one.core, one.priority, one.domain)), missing


def groups(picks: Sequence[Pick]) -> list[list[Pick]]:
    """What may come back side by side: the same priority, and largest first, so that nothing long begins last."""
    found: dict[tuple[bool, str], list[Pick]] = {}
    for one in picks:
        found.setdefault((not one.core, one.priority), []).append(one)
    return [sorted(found[key], key=lambda one: -(one.snapshot.size or 0)) for key in sorted(found)]


def overlap(place: Path, others: Mapping[str, Path]) -> str:
    """Which of `others` (what it is: where) lies in the place, or the place in it, as a sentence part; else empty."""
    own = os.path.realpath(place)
    for what, path in others.items():
        other = os.path.realpath(path)
        if os.path.commonpath([own, other]) in (own, other):
            return f"{what} ({path})"
    return ""


class Server(NamedTuple):
    """Where a database belongs: its name (None: all of a server), and the server, without a secret. `snapshot`: what
    came back of it, by name, for a command that is run twice must not take what it saved itself for the newest.
    `folder`: where it is a file, the one that it lies in; there is no server then."""

    name: str | None
    place: str
    snapshot: str
    folder: Path | None = None


def next_steps(
    place: Path,
    environment: Path,
    roots: Mapping[str, Path],
    policies: Path,
    password: Path,
    named: Path | None,
    databases: Mapping[str, Server] = MappingProxyType({}),
    secrets: Mapping[str, Path] = MappingProxyType({}),
) -> tuple[str, ...]:
    """What is left to a person once all is back: commands, in order. An empty machine has no folders to move into;
    what belongs into the place itself, such as the state that the new installation has, stays where it is. Files of
    secrets go among what else is in their folder, which another domain or the application brings. A database is loaded
    once its server is up, which only a person can say."""
    loads = [
        f". {shlex.quote(str(environment))} && "
        f"{f'mkdir -p {shlex.quote(str(server.folder))} && ' if server.folder else ''}"
        f"rw db restore {name} --snapshot {server.snapshot[:16]} "
        f"{'--replace' if server.name is None else f'--into {shlex.quote(server.name)}'}"
        f"{'' if server.folder else f'   # once {server.place} is up'}"
        for name, server in databases.items()
    ]
    moves = [
        f"mkdir -p {shlex.quote(str(root.parent))} && "
        f"mv -T {shlex.quote(str(place / 'system' / name))} {shlex.quote(str(root))}"
        for name, root in roots.items()
        if not overlap(place, {name: root})
    ]
    copies = [
        f"mkdir -p {shlex.quote(str(root))} && "
        f"cp -a {shlex.quote(str(place / 'system' / name))}/. {shlex.quote(str(root))}"
        for name, root in secrets.items()
    ]
    secret = [f"install -D -m 600 {shlex.quote(str(password))} {shlex.quote(str(named))}"] if named else []
    return (
        f". {shlex.quote(str(environment))} && rw status",
        *moves,
        *copies,
        *loads,
        f"mkdir -p /etc/resticwrap && cp -a {shlex.quote(str(policies))} /etc/resticwrap/policies",
        *secret,
        "rw backup && rw verify && rw kit export",
    )
