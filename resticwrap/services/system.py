"""A whole system out of nothing but a recovery kit: by priority, compared, started, asked whether it is healthy.

It goes on where an earlier run of the same command was killed: what is back and was compared is not touched again.
"""

import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.clock import Clock
from resticwrap.model.base import Time
from resticwrap.model.evidence import Chain
from resticwrap.model.job import Job, Manifest
from resticwrap.model.kit import Kit, SystemDomain, SystemReport
from resticwrap.model.policy import roots_of
from resticwrap.model.snapshot import Snapshot, TierName
from resticwrap.model.sources import DATABASES, SqliteSource
from resticwrap.model.swap import BESIDE_PREFIX
from resticwrap.planning import dbproof, owners
from resticwrap.planning import system as planning
from resticwrap.ports import Progress
from resticwrap.services import audit, frost, interrupted, thaw
from resticwrap.services.choosing import NO_COLD, Choice, root_of
from resticwrap.services.context import Context
from resticwrap.services.databases.proving import loaded
from resticwrap.services.fetching import fetch_and_check
from resticwrap.services.place import Mark, Place, begin, refuse_full, remember, repositories
from resticwrap.services.rebuild import FETCHED_AT_ONCE, rebuild
from resticwrap.services.recovery_ports import Running
from resticwrap.services.stopwatch import Stopwatch

SIDE_BY_SIDE = 2
"""Domains of one priority at a time: one is compared while the next one is downloaded."""
ASK_EVERY, ANSWER_WITHIN = 1.0, 10.0
STOP_WITHIN = 60.0
NAMED = 20
Elsewhere = Callable[[Kit, Path], AbstractContextManager[Context]]


@dataclass(frozen=True)
class Wanted:
    """What is to come back, and how; `room` bytes at most (None: what the disk has free).

    `declared`: the instant of the failure, which RPO counts to. `confined`: in a drill, where commands may write
    nowhere else and the target is only read.
    """

    declared: Time
    domains: tuple[str, ...] = ()
    start: bool = True
    confined: bool = False
    room: int | None = None
    how: thaw.Thawing = field(default_factory=thaw.Thawing)


def restore(
    kit: Kit, root: Path, wanted: Wanted, elsewhere: Elsewhere, clock: Clock, watch: Stopwatch | None = None
) -> SystemReport:
    """Restore the system of a kit below `root`, an empty or new folder, or one that an earlier run began to fill.

    Raises RestoreRefused where the folder holds anything else, OtherRepository where the target has other repositories
    than the kit knows, and whatever the target raises before anything came back.
    """
    place, watch = Place(root), watch or Stopwatch(clock)
    mark = begin(
        place,
        kit,
        Mark(
            target=kit.target,
            repositories=repositories(kit),
            declared_at=wanted.declared,
            begun_at=clock.now(),
        ),
    )
    with elsewhere(kit, root) as there:
        _adopt(there, kit)
        return _System(there, place, mark, kit, wanted, watch).run()


def preview(kit: Kit, root: Path, wanted: Wanted, elsewhere: Elsewhere, clock: Clock) -> SystemReport:
    """What a restore would bring back; nothing is written to `root`."""
    refuse_full(Place(root), kit)
    with tempfile.TemporaryDirectory(prefix="rw-kit-") as folder:
        place = Place(Path(folder))
        mark = begin(
            place,
            kit,
            Mark(
                target=kit.target,
                repositories=repositories(kit),
                declared_at=wanted.declared,
                begun_at=clock.now(),
            ),
        )
        with elsewhere(kit, place.root) as there:
            _adopt(there, kit)
            report = _System(there, place, mark, kit, wanted, Stopwatch(clock)).plan()
    return msgspec.structs.replace(report, place=str(root))


def _adopt(there: Context, kit: Kit) -> None:
    """Pin the kit's repositories, and go on with its chain of evidence; an earlier run's own are left as they are."""
    known = there.state.pins(there.target_name)
    if not known:
        there.state.put_pins(there.target_name, kit.pins)
    if kit.head is not None and there.state.chain(there.target_name) is None:
        there.state.put_chain(there.target_name, Chain(installation=kit.head.installation, head=kit.head))


class _System:
    """One restore at work."""

    def __init__(self, context: Context, place: Place, mark: Mark, kit: Kit, wanted: Wanted, watch: Stopwatch) -> None:
        self.context, self.place, self.mark, self.kit, self.wanted = context, place, mark, kit, wanted
        self.watch = watch
        self.rule = context.settings.recovery.system
        self.notes: list[str] = []
        self.failures: list[str] = []
        self.core_seconds: float | None = None
        self.started: bool | None = None
        self.healthy: bool | None = None
        self.running: Running | None = None
        self._marking = threading.Lock()

    def plan(self) -> SystemReport:
        picks, missing = self._pick()
        return self._report("planned", self.context.new_job("restore"), [self._planned(one) for one in picks], missing)

    def run(self) -> SystemReport:
        context = self.context
        interrupted.close(context)
        picks, missing = self._pick()
        self._forget_gone()
        left = [one for one in picks if one.domain not in self.mark.done]
        choices = {one.domain: self._choice(one) for one in left}
        frozen = thaw.plans(context, list(choices.values()), self.wanted.how)
        thaw.agree(frozen, self.wanted.how)
        self._refuse_full(sum(self._room(one) for one in left))
        job = msgspec.structs.replace(
            context.new_job("restore"),
            details={"to": str(self.place.root), "system": True, **thaw.details(frozen)},
        )
        with context.running(job) as job:
            context.watcher.begin(f"restore of the system {job.id}", [one.domain for one in picks])
            try:
                if frozen:
                    with self.watch.phase("thaw"):
                        thaw.bring(context, job, frozen)
                done = self._all(picks, choices)
            finally:
                try:
                    self._stop()
                finally:
                    context.watcher.end()
            report = self._report("restored", job, done, missing)
            job = msgspec.structs.replace(
                job,
                outcome="ok" if report.ok else "partial",
                finished_at=context.clock.now(),
                details={**job.details, "snapshots": {one.domain: one.snapshot for one in done}},
            )
            late = context.recorder.close(job)
        return msgspec.structs.replace(
            report, notes=(*report.notes, *([late] if late else []), *self._settle(job, report))
        )

    def _forget_gone(self) -> None:
        """What an earlier run brought back and somebody has taken away since is to come back again."""
        there = {name: one for name, one in self.mark.done.items() if os.path.lexists(self.place.system / name)}
        if len(there) < len(self.mark.done):
            self.mark = msgspec.structs.replace(self.mark, done=there)
            remember(self.place, self.mark)

    def _room(self, one: planning.Pick) -> int:
        size = one.snapshot.size or 0
        database = isinstance(self.context.settings.domains[one.domain].source, DATABASES)
        return dbproof.room(size) if database and self.wanted.confined else size

    def _refuse_full(self, size: int) -> None:
        """Raises DiskFull before anything is downloaded that has no room."""
        room = self.wanted.room if self.wanted.room is not None else shutil.disk_usage(self.place.root).free
        if size > room:
            raise errors.DiskFull(
                f"{size:,} bytes are to be restored to {self.place.root}, where there is room for {room:,}.",
                hint="Give a folder on a larger disk, or --domain for the most important ones.",
            )

    def _pick(self) -> tuple[list[planning.Pick], list[str]]:
        """Which snapshots, out of both repositories and the newest manifests."""
        context = self.context
        domains = context.settings.select_domains(self.wanted.domains)
        snapshots = self._snapshots()
        looks = planning.Looks(domains, [snapshot for snapshot, _ in snapshots])
        try:
            self._look(looks)
        except (errors.Damaged, errors.ObjectMissing) as error:
            self.notes.append(f"The manifests cannot be read: {error.message}")
        others = sorted(
            {s.domain for s, _ in snapshots if s.domain and s.domain[:1] != "_"} - set(context.settings.domains)
        )
        if others and not self.wanted.domains:
            self.notes.append(
                f"{', '.join(others)}: in the target, and in the policies no more. rw restore --domain NAME brings it."
            )
        priorities = {name: domain.priority for name, domain in domains.items()}
        return planning.pick(priorities, snapshots, looks.found, self.rule.core)

    def _snapshots(self) -> list[tuple[Snapshot, TierName]]:
        """Of hot, and of cold what hot has not. Where one of the two is lost, what the other has must do."""
        context, found, lost = self.context, list[tuple[Snapshot, TierName]](), list[errors.Failure]()
        known: set[str] = set()
        tiers: tuple[TierName, ...] = ("hot", "cold")
        pinned = [tier for tier in tiers if tier in context.pins()]
        for tier in pinned:
            try:
                context.check_pin(tier)
                frost.preflight(context, tier)
                listed = context.repositories[tier].snapshots()
            except errors.OtherRepository:
                raise
            except NO_COLD as error:
                lost.append(error)
                self.notes.append(f"The {tier} repository cannot be read: {error.message}")
                continue
            own = owners.ours(listed, context.settings.hosts)
            if listed and not own:
                names = ", ".join(sorted({snapshot.host for snapshot in listed}))
                self.notes.append(
                    f"All of the {tier} repository is of host {names}, and these policies are host "
                    f"{context.settings.host}'s: `formerly` in domains.yaml says that it takes that one's place."
                )
            found += [(snapshot, tier) for snapshot in own if snapshot.original not in known]
            known |= {snapshot.original for snapshot in own}
        if len(lost) == len(pinned):
            raise lost[0]
        self.failures += [f"A repository cannot be read ({one.kind})." for one in lost if self.wanted.confined]
        return found

    def _look(self, looks: planning.Looks) -> None:
        """Read manifests, newest first: a year of jobs leaves 131,000, and only the newest few are needed."""
        context = self.context
        keys = list(context.manifests.keys())[::-1]
        with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
            for at in range(0, len(keys), FETCHED_AT_ONCE):
                context.heed()
                batch = [one for one in pool.map(self._manifest, keys[at : at + FETCHED_AT_ONCE]) if one is not None]
                for manifest in batch:
                    looks.take(manifest)
                if batch and looks.enough(min(batch, key=lambda one: one.finished_at)):
                    return

    def _manifest(self, key: str) -> Manifest | None:
        """None also for one of other repositories that lay here before."""
        try:
            manifest = self.context.manifests.get(key)
        except (errors.Damaged, errors.ObjectMissing):
            return None
        return manifest if manifest.repositories.get("hot") == repositories(self.kit).get("hot") else None

    def _choice(self, one: planning.Pick) -> Choice:
        root = root_of(self.context.repositories[one.tier], one.snapshot)
        return Choice(one.domain, one.snapshot, root, (), one.run is not None, (), one.tier)

    def _all(self, picks: Sequence[planning.Pick], choices: dict[str, Choice]) -> list[SystemDomain]:
        """Group by group; the system is started between the core and the rest."""
        done: list[SystemDomain] = []
        groups = planning.groups(picks)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for at, group in enumerate(groups):
                done += pool.map(lambda one: self._one(one, choices.get(one.domain)), group)
                last = at + 1 == len(groups) or not groups[at + 1][0].core
                if group[0].core and last:
                    self._core(done)
        return done

    def _one(self, one: planning.Pick, choice: Choice | None) -> SystemDomain:
        """Bring one domain back, compare it, put it in its place, and remember that."""
        context = self.context
        context.heed()
        if choice is None:
            return msgspec.structs.replace(self.mark.done[one.domain], resumed=True)
        context.watcher.update(one.domain, Progress())
        final, stage = self.place.system / one.domain, self.place.system / f"{BESIDE_PREFIX}{one.domain}"
        _clear(stage)
        if os.path.lexists(final):  # not known to be whole; but somebody may have begun to use it
            final.rename(f"{final}.before-{secrets.token_hex(4)}")
        found = fetch_and_check(context, choice, stage, watch=self.watch)
        failures = [*found.unreadable, *(f"{wrong.path}: {wrong.why}" for wrong in found.wrong)]
        staged = os.path.join(os.fsencode(stage), choice.root)
        if os.path.lexists(staged):
            os.rename(staged, os.fsencode(final))
        elif not failures:
            failures.append("nothing came back")
        _clear(stage)
        proof = None
        if self.wanted.confined and not failures:
            proof = loaded(context, self.watch, choice, final, self._folder("load") / one.domain)
            self.notes += [f"{one.domain}: {note}" for note in proof.notes] if proof else []
        result = msgspec.structs.replace(
            self._planned(one),
            files=found.files,
            size=found.size,
            back=self.watch.elapsed,
            place=str(final),
            failures=tuple(dict.fromkeys(failures))[:NAMED],
            loaded=proof.loaded() if proof else None,
        )
        if found.foreign:
            self.notes.append(
                f"{one.domain}: {found.foreign} entries belong to users that this process may not set, "
                f"first {found.first_foreign}."
            )
        if result.ok:
            with self._marking:
                self.mark = msgspec.structs.replace(self.mark, done={**self.mark.done, one.domain: result})
                remember(self.place, self.mark)
        context.watcher.done(one.domain, "ok" if result.ok else "failed")
        return result

    def _planned(self, one: planning.Pick) -> SystemDomain:
        run = one.run
        source = run.looked_at if run else None
        return SystemDomain(
            domain=one.domain,
            priority=one.priority,
            tier=one.tier,
            snapshot=one.snapshot.original,
            tree=one.snapshot.tree,
            job=one.job,
            time=one.snapshot.time,
            source_time=source,
            rpo=max((self.mark.declared_at - source).total_seconds(), 0.0) if source else None,
            files=one.snapshot.files or 0,
            size=one.snapshot.size or 0,
            place=str(self.place.system / one.domain),
            core=one.core,
            whole=run is not None,
            manifest=None if run is None else run.tree == one.snapshot.tree,
        )

    def _core(self, done: Sequence[SystemDomain]) -> None:
        """The core is back: start the system, and wait until it is healthy."""
        rule = self.rule
        if broken := [one.domain for one in done if not one.ok]:
            if rule.health is not None and self.wanted.start:
                self.failures.append(f"The system was not started: {', '.join(broken)} did not come back whole.")
                self.started = False
            return
        if rule.health is None or not self.wanted.start or self.wanted.domains:
            self.core_seconds = self.watch.elapsed
            return
        try:
            if not (self.mark.started and self._healthy_now()):
                self._start()
            self._wait()
        except errors.RestoreRefused as error:
            self.healthy = False
            self.failures.append(f"{error.message} So nobody can say whether the system would be healthy.")
            self.notes.append(error.hint)

    def _start(self) -> None:
        rule, context = self.rule, self.context
        if rule.start is None:
            return
        with self.watch.phase("start"):
            self.running = context.recovery.commands.start(
                rule.start,
                place=self.place.system,
                env=self._environment(),
                log=self.place.rw / "start.log",
                confined=self._confined,
            )
        self.started = True
        with self._marking:
            self.mark = msgspec.structs.replace(self.mark, started=True)
            remember(self.place, self.mark)

    def _wait(self) -> None:
        """Ask every second whether the system is healthy, for as long as the policy gives it."""
        context = self.context
        until = context.clock.monotonic() + self.rule.healthy_within.total_seconds()
        self.healthy = False
        with self.watch.phase("healthy"):
            while True:
                context.heed()
                asked = context.clock.monotonic()
                if self._healthy_now():
                    self.healthy, self.core_seconds = True, self.watch.elapsed
                    return
                code = self.running.ended() if self.running else None
                if code:
                    self.failures.append(
                        f"The start command ended with exit code {code}; {self.place.rw}/start.log has what it said."
                    )
                    return
                if context.clock.monotonic() >= until:
                    within = self.rule.healthy_within.total_seconds()
                    self.failures.append(f"The system was not healthy within {within:.0f} s.")
                    if self._said:  # a note, for failures become evidence: it may hold names and secrets
                        self.notes.append(f"What the health command said: {self._said}")
                    return
                context.clock.sleep(max(ASK_EVERY - (context.clock.monotonic() - asked), 0.0))

    _said = ""

    def _healthy_now(self) -> bool:
        assert self.rule.health is not None
        code, self._said = self.context.recovery.commands.ask(
            self.rule.health,
            place=self.place.system,
            env=self._environment(),
            timeout=ANSWER_WITHIN,
            confined=self._confined,
        )
        return code == 0

    def _stop(self) -> None:
        """After a drill: the policy's own command first, then whatever is left is ended."""
        if self.running is None or not self.wanted.confined:
            return
        try:
            if self.rule.stop is not None:
                self.context.recovery.commands.ask(
                    self.rule.stop,
                    place=self.place.system,
                    env=self._environment(),
                    timeout=STOP_WITHIN,
                    confined=self._confined,
                )
        finally:
            self.running.stop()

    @property
    def _confined(self) -> Path | None:
        return self.place.root if self.wanted.confined else None

    def _environment(self) -> dict[str, str]:
        """What the commands see, and nothing else."""
        home = str(self.place.system)
        return {
            "PATH": self.context.settings.env.get("PATH", os.defpath),
            "HOME": home,
            "TMPDIR": str(self._folder("tmp")),
            **self.rule.environment,
            "RW_SYSTEM_ROOT": home,
        }

    def _folder(self, name: str) -> Path:
        folder = self.place.rw / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _settle(self, job: Job, report: SystemReport) -> Iterator[str]:
        """After a disaster: the catalogue out of the target, and an event that waits for the first write to it."""
        if self.wanted.confined:
            return
        audit.note(
            self.context,
            "kit",
            {
                "action": "restored",
                "domains": len(report.domains),
                "failed": sum(not one.ok for one in report.domains),
                "seconds": round(report.seconds, 1),
            },
            job=job.id,
            versions=self.context.versions,
        )
        try:
            rebuilt = rebuild(self.context)
            if rebuilt.skipped:
                yield f"{len(rebuilt.skipped)} records of the target could not be read for the catalogue."
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            yield f"The catalogue could not be rebuilt: {error.message} rw catalog rebuild does it later."

    def _report(self, mode: str, job: Job, domains: Sequence[SystemDomain], missing: Sequence[str]) -> SystemReport:
        self.notes += [
            f"{one.domain}: no manifest tells of a complete look, so its newest snapshot was taken: it may lack files."
            for one in domains
            if not one.whole
        ]
        settings = self.context.settings
        original = settings.target(self.kit.target)
        policies = {one.domain: settings.domains[one.domain] for one in domains}
        snapshots = {one.domain: one.snapshot for one in domains}
        databases = {
            name: planning.Server(
                policy.source.name,
                policy.source.place,
                snapshots[name],
                policy.source.path.parent if isinstance(policy.source, SqliteSource) else None,
            )
            for name, policy in policies.items()
            if isinstance(policy.source, DATABASES)
        }
        files = {name: policy for name, policy in policies.items() if name not in databases}
        if databases and mode == "restored" and not self.wanted.confined:
            self.notes.append(f"{', '.join(databases)}: what is back is a dump. Its command below loads it.")
        return SystemReport(
            target=self.kit.target,
            place=str(self.place.root),
            job=job.id,
            started_at=self.mark.begun_at,
            declared_at=self.mark.declared_at,
            mode="planned" if mode == "planned" else "restored",
            domains=tuple(domains),
            phases=dict(self.watch.phases),
            seconds=self.watch.elapsed,
            core_seconds=self.core_seconds,
            started=self.started,
            healthy=self.healthy,
            missing=tuple(missing),
            failures=tuple(self.failures),
            notes=tuple(dict.fromkeys(self.notes)),
            next=planning.next_steps(
                self.place.root,
                self.place.environment,
                roots_of({name: domain for name, domain in files.items() if not domain.is_secret}),
                self.place.policies,
                self.place.password,
                original.password_file,
                databases,
                roots_of({name: domain for name, domain in files.items() if domain.is_secret}),
            ),
        )


def _clear(path: Path) -> None:
    """Remove what a killed run left below our own folder; links in it are not followed."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
