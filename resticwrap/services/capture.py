"""Runs the domains of one backup plan: several at a time, each judged on its own."""

import contextlib
import os
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import msgspec

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.job import DomainRun, Job
from resticwrap.model.objects import Change, Entry, show_path
from resticwrap.model.policy import tier_of
from resticwrap.model.reports import BackupPlan, PlannedDomain
from resticwrap.model.snapshot import Snapshot, Tags
from resticwrap.model.swap import STAGE_PREFIX
from resticwrap.planning import backup as planning
from resticwrap.planning import inplace, owners
from resticwrap.ports import BackupRequest, BackupResult, Look, Material, MissedItem, Progress, Source, Trees
from resticwrap.services import named
from resticwrap.services.context import Context, info
from resticwrap.services.databases import bases

NAMED = 200
"""How many missed or rotten files a record names; the count beside it is always whole."""
SPOOL_EVERY = 0.5
"""Seconds between notes of how far a job is: what a crash leaves says how much was read."""


def _names(folder: bytes) -> list[bytes]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


class Counts(msgspec.Struct):
    """What changed in a domain, counted while its trees are compared; `changes` only where a plain manifest asks."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    bitrot: list[str] = []
    bitrot_count: int = 0
    changes: list[Change] = []
    was_changed: int = 0
    was_removed: int = 0
    was: list[str] = []
    """What was there before and is not as it was, or not there: what must not be in a domain that only grows."""

    def take(self, change: Change, keep: bool) -> None:
        self._take_old(change)
        entry: Entry | None = change.new or change.old
        if entry is None or entry.kind == "dir":
            return
        match change.what:
            case "added":
                self.added += 1
            case "removed":
                self.removed += 1
            case "changed":
                self.changed += 1
            case "bitrot":
                self.changed += 1
                self.bitrot_count += 1
                if len(self.bitrot) < NAMED:
                    self.bitrot.append(show_path(change.path))
            case "metadata":
                return
        if keep:
            self.changes.append(change)

    def _take_old(self, change: Change) -> None:
        if change.old is None or change.old.kind == "dir" or change.what == "metadata":
            return
        if change.what == "removed":
            self.was_removed += 1
        else:
            self.was_changed += 1
        if len(self.was) < NAMED:
            self.was.append(show_path(change.path))


def _changed(planned: PlannedDomain, source: Source, before: Look) -> list[MissedItem]:
    """What is not as it was when the backup began. What was mounted meanwhile does no harm."""
    try:
        after = source.look()
    except errors.NotFound:
        return [MissedItem(item=str(planned.root), message="vanished while it was read")]
    if msgspec.structs.replace(after, mounts=before.mounts) != before:
        return [MissedItem(item=str(planned.root), message="another thing stood there after the backup")]
    return [
        MissedItem(item=f"{planned.root}/{show_path(point)}", message="was unmounted while it was read")
        for point in before.mounts
        if point not in after.mounts
    ]


class Capture:
    """One backup job at work. `snapshots` holds what was written, by domain; `changes` what a plain manifest lists."""

    def __init__(self, context: Context, job: Job, plan: BackupPlan, taken: Mapping[str, str] | None = None) -> None:
        """`taken`: by domain the other host whose it is; none of these is backed up."""
        self.job = job
        self._taken = taken or {}
        self._recorded = job
        self.snapshots: dict[str, Snapshot] = {}
        self.changes: dict[str, list[Change]] = {}
        self._context = context
        self._plan = plan
        self.parents: dict[str, str] = {}
        self.warnings: list[str] = []
        self._latest = context.latest()
        self._stored: dict[str, str] = {}
        self.mounts: dict[str, tuple[str, ...]] = {}
        self._bytes: dict[str, int] = {}
        self._noted = context.clock.monotonic()
        self._mutex = threading.Lock()

    def all(self) -> tuple[DomainRun, ...]:
        """Run every domain of the plan, in the plan's order as far as room and overlaps allow."""
        plan, watcher = self._plan, self._context.watcher
        runs: dict[str, DomainRun] = {}
        started: set[str] = set()
        watcher.begin(f"backup {self.job.id}", [planned.domain for planned in plan.domains])
        try:
            with ThreadPoolExecutor(max(plan.parallel, 1), thread_name_prefix="domain") as pool:
                working: dict[Future[DomainRun], str] = {}
                while len(runs) < len(plan.domains):
                    for planned in planning.startable(plan, started, runs):
                        started.add(planned.domain)
                        working[pool.submit(self.one, planned)] = planned.domain
                    finished, _ = wait(working, return_when=FIRST_COMPLETED)
                    for future in finished:
                        runs[working.pop(future)] = future.result()
                    self._note(list(runs.values()))
        finally:
            watcher.end()
        return tuple(runs[planned.domain] for planned in plan.domains)

    def one(self, planned: PlannedDomain) -> DomainRun:
        """Capture one domain; whatever goes wrong is in the run, not raised."""
        context = self._context
        looked_at = context.clock.now()
        try:
            if context.cancelled():
                raise errors.Interrupted("Interrupted before this domain began.")
            self._refuse_taken(planned.domain)
            context.watcher.update(planned.domain, Progress())
            planned = bases.fitting(context, planned)
            with context.locks.hold(f"backup {context.hot.url} {planned.domain} {planned.type}"):
                run = self._captured(planned, looked_at)
        except errors.Failure as error:
            outcome = "interrupted" if isinstance(error, errors.Interrupted) else "failed"
            run = self._ended(planned, looked_at, outcome, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one domain must not lose the records of others
            run = self._ended(planned, looked_at, "failed", errors.unforeseen(error))
        context.watcher.done(planned.domain, run.outcome)
        return run

    def _ended(self, planned: PlannedDomain, looked_at: Time, outcome: str, error: errors.Failure) -> DomainRun:
        return self._run(
            planned, looked_at, outcome=outcome, error=info(error), snapshot=self._stored.get(planned.domain)
        )

    def _captured(self, planned: PlannedDomain, looked_at: Time) -> DomainRun:
        context = self._context
        source = context.sources(planned.domain, context.settings.domains[planned.domain])
        before = source.look()
        self._refuse_empty(planned, before)
        with source.material(self.job.id, planned.type) as material:
            try:
                result = named.unchanged(self._context, planned, material, self._latest) or self.restic(
                    planned, material
                )
            except errors.ResticFailed:
                # Without its root restic fails for a reason that only a second look can name; a command has its own.
                source.look()
                material.settle()
                raise
            material.settle()
            if result.complete and result.snapshot is not None:
                material.stored(result.snapshot)
            self.warnings += [f"{planned.domain}: {warning}" for warning in material.warnings]
            read = msgspec.structs.replace(before, name=material.name)
        self.mounts[planned.domain] = tuple(show_path(point) for point in before.mounts)
        missed = [
            *result.missed,
            *named.missed(context, planned, material, self._latest),
            *self._unmounted(planned, source, before),
            *_changed(planned, source, before),
            *self._mixed(planned, looked_at),
            *self._unfounded(material),
        ]
        root = read.root
        if result.snapshot is None:
            if missed or not result.complete or self._latest is None:
                return self._run(planned, looked_at, result, missed, outcome="partial", root=root)
            old = self._latest.domains[planned.domain]
            return self._run(
                planned, looked_at, result, outcome="unchanged", snapshot=old.snapshot, tree=old.tree, root=root
            )
        self._stored[planned.domain] = result.snapshot
        counts, known = self._looked_into(planned, read, result, result.snapshot, missed)
        return self._run(
            planned,
            looked_at,
            result,
            missed,
            counts,
            outcome="ok" if result.complete and not missed else "partial",
            root=root,
            **known,
        )

    def _looked_into(
        self, planned: PlannedDomain, look: Look, result: BackupResult, stored: str, missed: list[MissedItem]
    ) -> tuple[Counts, dict[str, object]]:
        """The counts and the names of the snapshot that restic has stored. What is wrong with it is added to `missed`,
        and so is what keeps us from looking: that does not undo what is stored."""
        context = self._context

        def looked() -> tuple[Snapshot, Trees, bool]:
            snapshot, trees = context.hot.snapshot(stored), context.hot.trees()
            return snapshot, trees, self._holds_root(snapshot, look.name, trees)

        try:
            snapshot, trees, whole = context.patiently(looked)
            self.snapshots[planned.domain] = snapshot
            if not whole:
                missed.append(MissedItem(item=str(planned.root), message="is not in the snapshot"))
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            why = f"was stored, and the snapshot could not be looked into: {error.message}"
            missed.append(MissedItem(item=str(planned.root), message=why))
            return Counts(added=result.files_new, changed=result.files_changed), {"snapshot": stored}
        counts = self._compare(planned, snapshot, result, trees)
        return counts, {"snapshot": snapshot.original, "tree": snapshot.tree}

    def _unfounded(self, material: Material) -> list[MissedItem]:
        """A log whose base somebody forgot while it was stored."""
        if not material.base or self._context.hot.holds(material.base):
            return []
        return [MissedItem(item=show_path(material.name), message=f"its base {material.base[:8]} is gone")]

    def _mixed(self, planned: PlannedDomain, since: Time) -> list[MissedItem]:
        """Places where an in-place restore left, or made, a mix of two trees: what was read was never one state."""
        if self._context.settings.domains[planned.domain].source.root is None:
            return []
        root = os.path.realpath(os.fsencode(planned.root))
        journals, unreadable = self._context.journals.scan()
        found = [MissedItem(item=place, message=why) for place, why in inplace.mixed(journals, root, since)]
        if unreadable:
            names = [name for folder in (os.path.dirname(root), root) for name in _names(folder)]
            found += [
                MissedItem(item=str(planned.root), message=f"{error.message} It may have exchanged a part of this.")
                for job, error in unreadable.items()
                if any(name.startswith(os.fsencode(f"{STAGE_PREFIX}{job}")) for name in names)
            ]
        return found

    def _refuse_taken(self, domain: str) -> None:
        if owner := self._taken.get(domain):
            raise owners.name_taken(domain, self._context.target_name, owner, self._context.settings.host)

    def _refuse_empty(self, planned: PlannedDomain, look: Look) -> None:
        """An empty root where files were is most likely a disk that is not mounted. Raises EmptySource."""
        known = self._latest.domains.get(planned.domain) if self._latest else None
        domain = self._context.settings.domains[planned.domain]
        if look.empty and known and known.files and not domain.allow_empty:
            raise errors.EmptySource(
                f"{planned.root} is empty, and held {known.files} files when {planned.domain} was last backed up.",
                hint=f"Is it mounted? If it is right, set `allow_empty: true` for {planned.domain} in domains.yaml.",
            )

    def _unmounted(self, planned: PlannedDomain, source: Source, look: Look) -> list[MissedItem]:
        """Folders below the root that stand empty, and on which something was mounted at the last complete look."""
        known = self._latest.domains.get(planned.domain) if self._latest else None
        if known is None or self._context.settings.domains[planned.domain].allow_empty:
            return []
        gone = sorted({*known.mounts} - {show_path(point) for point in look.mounts})
        why = (
            "is empty, and something was mounted there when the domain was last backed up. Is it mounted? "
            f"If it is right, set `allow_empty: true` for {planned.domain} in domains.yaml"
        )
        return [
            MissedItem(item=f"{planned.root}/{point}", message=why)
            for point in gone
            if source.empty(os.fsencode(point))
        ]

    def measured(self, planned: PlannedDomain) -> BackupResult:
        """restic's own dry run of a domain."""
        self._refuse_taken(planned.domain)
        source = self._context.sources(planned.domain, self._context.settings.domains[planned.domain])
        look = source.look()
        self._refuse_empty(planned, look)
        if (measured := source.measure()) is not None:
            return measured
        with source.material(self.job.id, planned.type) as material:
            return self.restic(planned, material, dry_run=True)

    def restic(self, planned: PlannedDomain, material: Material, *, dry_run: bool = False) -> BackupResult:
        """One `restic backup` of a domain. An unchanged incremental writes no snapshot; a full always does."""
        context = self._context
        domain = context.settings.domains[planned.domain]
        request = BackupRequest(
            cwd=material.cwd,
            name=material.name,
            parts=material.parts,
            command=material.command,
            fds=material.fds,
            tags=Tags(
                domain=planned.domain,
                layer=domain.layer,
                priority=domain.priority,
                job=self.job.id,
                type=planned.type,
                tier="hot",
                expire_after_days=tier_of(context.settings.tiers, domain, "hot")[0],
                base=material.base,
            ),
            host=context.settings.host,
            excludes=domain.excludes,
            parent=self._parent(planned),
            force=planned.type == "full",
            skip_if_unchanged=planned.type == "incremental",
            dry_run=dry_run,
        )
        return context.hot.backup(request, lambda progress: self._progress(planned.domain, progress))

    @property
    def bytes_done(self) -> int:
        """How much was read so far."""
        return sum(self._bytes.values())

    def _parent(self, planned: PlannedDomain) -> str | None:
        """The snapshot to compare with, where the repository still has it: somebody may have forgotten it."""
        if planned.parent is None or self._latest is None:
            return None
        parent = self._latest.domains[planned.domain].current_id
        if not self._context.hot.holds(parent):
            self._context.watcher.note(f"{planned.domain}: snapshot {parent[:8]} is gone, so every byte is read again")
            return None
        self.parents[planned.domain] = parent
        return parent

    def _holds_root(self, snapshot: Snapshot, root: bytes, trees: Trees) -> bool:
        try:
            return next(iter(trees.walk(snapshot.tree, root)), None) is not None
        except errors.Damaged:
            return next(iter(self._context.hot.entries(snapshot.id, snapshot.tree, root)), None) is not None

    def _compare(self, planned: PlannedDomain, snapshot: Snapshot, result: BackupResult, trees: Trees) -> Counts:
        """Count what changed since the parent. Costs by the change: equal subtrees are not read."""
        counts = Counts()
        keep = self._context.target.manifests == "plain"
        old = self._latest.domains[planned.domain].tree if planned.domain in self.parents and self._latest else None
        if old is None:
            self._unknown(planned, "it is gone.")
        if old is None and not keep:
            return Counts(added=result.files_new)
        try:
            for change in trees.changes(old, snapshot.tree):
                counts.take(change, keep)
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            # restic has read and stored everything; only the count, which is ours, fails.
            self._context.watcher.note(f"{planned.domain}: changes were not counted: {error.message}")
            self._unknown(planned, error.message)
            return Counts(added=result.files_new, changed=result.files_changed)
        if keep:
            self.changes[planned.domain] = counts.changes
        return counts

    def _progress(self, domain: str, progress: Progress) -> None:
        context = self._context
        context.watcher.update(domain, progress)
        with self._mutex:
            self._bytes[domain] = progress.bytes_done
            now = context.clock.monotonic()
            if now - self._noted >= SPOOL_EVERY:
                self._noted = now
                with contextlib.suppress(errors.Failure):
                    context.state.spool(
                        msgspec.structs.replace(self._recorded, bytes_done=self.bytes_done), flush=False
                    )

    def _note(self, runs: list[DomainRun]) -> None:
        """Write down what is finished so far: a crash must not make anybody forget a snapshot that was stored.

        A full state directory stops no backup; the end of the job says so.
        """
        with self._mutex, contextlib.suppress(errors.Failure):
            self._recorded = msgspec.structs.replace(self.job, domains=tuple(runs), bytes_done=self.bytes_done)
            self._context.state.spool(self._recorded)

    def _run(
        self,
        planned: PlannedDomain,
        looked_at: Time,
        result: BackupResult | None = None,
        missed: list[MissedItem] | None = None,
        counts: Counts | None = None,
        *,
        outcome: str,
        **known: object,
    ) -> DomainRun:
        missed = missed or []
        domain = self._context.settings.domains[planned.domain]
        finished = self._context.clock.now()
        fields: dict[str, object] = {
            "domain": planned.domain,
            "layer": planned.layer,
            "priority": planned.priority,
            "outcome": outcome,
            "type": planned.type,
            "looked_at": looked_at,
            "finished_at": finished,
            "parent": planned.parent,
            "duration": (finished - looked_at).total_seconds(),
            "missed": tuple(f"{item.item}: {item.message}" for item in missed[:NAMED]),
            "schema_versions": dict(domain.schema_versions),
            **known,
        }
        if result is not None:
            fields |= {
                "files": result.files,
                "size": result.size,
                "added": result.added,
                "missed_count": max(result.missed_count, len(missed)),
            }
        if counts is not None:
            if outcome == "ok" and domain.layer == "raw" and planned.domain in self.parents:
                fields |= {
                    "raw_changed": counts.was_changed,
                    "raw_removed": counts.was_removed,
                    "raw": tuple(counts.was),
                    "raw_policy": self._policy_changed(planned.domain, str(known.get("root", ""))),
                }
            fields |= {
                "files_new": counts.added,
                "files_changed": counts.changed,
                "files_removed": counts.removed,
                "bitrot": tuple(counts.bitrot),
                "bitrot_count": counts.bitrot_count,
            }
        return DomainRun(**fields)  # type: ignore[arg-type]

    def _unknown(self, planned: PlannedDomain, why: str) -> None:
        """What only grows could not be held against its last snapshot."""
        if planned.layer == "raw" and planned.parent is not None:
            before = planned.parent[:8]
            self.warnings.append(
                f"{planned.domain} is raw, and whether it only grew since snapshot {before} is not known: {why}"
            )

    def _policy_changed(self, domain: str, root: str) -> str:
        """What is another in the policy since the domain's last complete look, as far as that is known."""
        before = self._latest.domains.get(domain) if self._latest else None
        if before is None:
            return ""
        excludes = self._context.settings.domains[domain].excludes
        changed = [
            name
            for name, other in (
                ("root", before.root != root),
                ("excludes", before.excludes is not None and before.excludes != excludes),
            )
            if other
        ]
        return " and ".join(changed)
