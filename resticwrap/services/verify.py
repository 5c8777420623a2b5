"""`rw verify`: read the store back, restore a sample for real, say what is damaged and what that costs.

All bytes come from the store and not from the local cache, which hides lost packs (measured). The structure check runs
without a restic lock, so that no incremental misses its time, under a lock of ours that keeps forget and prune away.
"""

import hashlib
import os
import secrets
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import msgspec

from resticwrap import errors
from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time, to_json
from resticwrap.model.job import Job
from resticwrap.model.objects import Entry, show_path
from resticwrap.model.policy import VerifyRule
from resticwrap.model.reports import Coverage, Damage, SampledFile, VerifyReport
from resticwrap.model.snapshot import CANARY, Snapshot
from resticwrap.model.verified import PackSums, VerifyDetails, VerifyRecord, verify_details
from resticwrap.planning import verify as planning
from resticwrap.ports import Catalog, CheckResult, Progress, Repository, Trees
from resticwrap.services import audit, frost, interrupted, lifecycle, manifest
from resticwrap.services.compare import compare
from resticwrap.services.context import Context, side_by_side
from resticwrap.services.damage import Damages, Listing
from resticwrap.services.leftovers import clear_scratch, scratch

T = TypeVar("T")
OF_DAMAGE = (errors.Damaged, errors.ObjectMissing, errors.ResticFailed, errors.WrongPassword)
"""What may come of damage to the small files of a repository."""
STORE, SAMPLE = "structure and packs", "sample"
"""What a verify does, for who looks on: restic's check does the first in one go."""
DAMAGES_KEPT = 50
"""How many damages a record names."""
WALKED_AT_ONCE = 5000
PACKS_AT_ONCE = 4
"""Packs that are in memory at a time where they are read back by our own reader."""
COVERAGE_MARGIN_DAYS = 7
"""A full cycle is one share a week; that and a week's grace is the window that coverage is counted over."""


def verify(
    context: Context, tier: str, rule: VerifyRule, domains: Sequence[str], seed: int | None = None
) -> VerifyReport:
    """Verify one repository of the target. Raises only where nothing could be verified at all."""
    context.pins()
    # From the start: one that cannot even begin is a verify of that repository too.
    details = VerifyDetails(tier=tier, repository=_pinned(context, tier))
    job = msgspec.structs.replace(context.new_job("verify"), details=details.builtins())
    interrupted.close(context)
    clear_scratch(context)
    seed = secrets.randbits(32) if seed is None else seed
    repository = context.repositories[tier]
    with context.running(job) as job:
        context.watcher.begin(f"verify {job.id}", [STORE, SAMPLE])
        try:
            with context.locks.hold(f"maintenance {repository.url}", shared=True, wait=60):
                report = _Verify(context, repository, job, rule, domains, seed).run()
        finally:
            context.watcher.end()
        late = [
            _publish(context, report.job),
            context.recorder.close(report.job),
            lifecycle.look(context),
            audit.tell(context, "verify", _proof(report), job=report.job.id),
        ]
    return msgspec.structs.replace(report, notes=(*report.notes, *(note for note in late if note)))


def _pinned(context: Context, tier: str) -> str:
    pin = context.state.pins(context.target_name).get(tier)
    return pin.repository_id if pin else ""


def _publish(context: Context, job: Job) -> str | None:
    """Leave the record in the target. Returns why it is not there yet, which is no failure of the verify."""
    try:
        return manifest.publish(context, VerifyRecord(job=_told(context, job)))[1]
    except errors.Interrupted:
        raise
    except errors.Failure as error:
        return f"The record of this verify could not be written: {error.message}"


def _proof(report: VerifyReport) -> dict[str, Any]:
    """What becomes evidence of a verify: counts, and of the sample its digest. No names of files."""
    job, details = report.job, verify_details(report.job)
    sample = [(file.domain, file.snapshot, file.path, file.size, file.ok) for file in report.sampled]
    return {
        "tier": report.tier,
        "repository": details.repository if details else "",
        "outcome": job.outcome,
        "started_at": job.started_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        "share": report.share,
        "bucket": report.bucket,
        "seed": report.seed,
        "coverage": report.coverage.share,
        "sampled": len(sample),
        "failed": sum(not file.ok for file in report.sampled),
        "digest": hashlib.sha256(to_json(sample)).hexdigest(),
        "snapshots": sorted({file.snapshot for file in report.sampled}),
        "damages": dict(Counter(damage.kind for damage in report.damages)),
        "proven": len(report.proven),
    }


def _told(context: Context, job: Job) -> Job:
    """The job as it may lie in the target: names of files are not published in clear, unless the policy says so."""
    details = verify_details(job)
    if details is None or context.target.manifests == "plain":
        return job
    damages = tuple(
        # The name of a fault of the structure is what restic said of it, with names of files.
        msgspec.structs.replace(one, paths=(), advice=(), name="" if one.kind == "structure" else one.name)
        for one in details.damages
    )
    return msgspec.structs.replace(job, details=msgspec.structs.replace(details, damages=damages).builtins())


class _Verify:
    """One verify at work: what it has found so far is told even where it cannot go on."""

    def __init__(
        self,
        context: Context,
        repository: Repository,
        job: Job,
        rule: VerifyRule,
        domains: Sequence[str],
        seed: int,
    ) -> None:
        self.context, self.repository, self.job = context, repository, job
        self.rule, self.domains, self.seed = rule, domains, seed
        self.notes: list[str] = []
        self.damage = Damages(context, repository, self.notes.append)
        self.damages: list[Damage] = []
        self.sampled: list[SampledFile] = []
        self.unproven = False
        self.frozen: frozenset[str] = frozenset()
        self.left_out: dict[str, int] = {}
        """By domain, how many files could not be in the sample since they are frozen."""
        self.details = VerifyDetails(
            tier=repository.tier,
            repository=_pinned(context, repository.tier),
            share=rule.share,
            seed=seed,
            days=rule.parts * 7 + COVERAGE_MARGIN_DAYS,
        )
        self.covered: Coverage = planning.coverage({}, job.started_at, {}, job.started_at, self.details.days)

    def run(self) -> VerifyReport:
        """Look at everything. Where the repository cannot even be opened, say which of its small files is damaged.

        Raises what kept it from being opened where all of them are whole, as with a wrong password; but nothing hides
        damage that was found.
        """
        try:
            self.context.check_pin(self.repository.tier)
            self._look()
        except errors.Interrupted:
            raise
        except errors.Failure as error:
            if isinstance(error, OF_DAMAGE):
                known = {damage.name for damage in self.damages}
                self.damages += [damage for damage in self.damage.small_files() if damage.name not in known]
            if not self.damages:
                raise
            self.notes.append(f"{error.message} So the verify ended here, and what comes after was not looked at.")
        return self._report()

    def _look(self) -> None:
        context, repository, rule, details = self.context, self.repository, self.rule, self.details
        started = context.clock.now()
        until = started + CLOCK_SLACK
        reads = self._ask(lambda catalog: catalog.reads(context.target_name, details.tier, until)) or {}
        bucket = planning.next_bucket(reads, rule.parts)
        context.watcher.update(STORE, Progress())
        frost.preflight(context, repository.tier)
        snapshots = repository.snapshots(no_cache=True)
        listing = self.damage.listing()
        self.frozen = self._frozen(listing)

        def look() -> CheckResult:
            if self.frozen:
                return self._read_back(listing, bucket)
            return repository.check(bucket=bucket, parts=rule.parts)

        self.damages += self.damage.confirmed(look(), listing, look, snapshots)
        self.damages += self.damage.lost_snapshots(snapshots, self.damages)
        if details.tier == "cold" and (hurt := [one.name for one in self.damages if one.kind.startswith("pack_")]):
            # Nothing in hot may rely on them any more; the next copy reads them again.
            self._ask(lambda catalog: catalog.withdraw(context.target_name, "cold", sorted(hurt)))
        # After a fault of the structure restic may not have read a single pack.
        read = planning.bytes_of(bucket, rule.parts) if all(d.kind == "pack_damaged" for d in self.damages) else ()
        part = {pack: size for pack, (size, _) in listing.stored.items() if int(pack[:2], 16) in read}
        sizes = [size for pack, size in part.items() if pack not in self.frozen]
        # A pack that no index names is not read: it counts among those that may be damaged unseen.
        checked = [pack for pack in part if pack in listing.named and pack not in self.frozen]
        self._tell_frozen([size for pack, size in part.items() if pack in self.frozen])
        context.watcher.update(STORE, Progress(bytes_done=sum(sizes), files_done=len(sizes)))
        context.watcher.done(STORE, "ok" if not self.damages else "failed")
        if read:
            self._ask(lambda catalog: catalog.record_reads(context.target_name, details.tier, read, started, until))
            if not part:
                self.notes.append(f"Part {bucket} of {rule.parts} holds no pack, so no pack was read back.")
        else:
            self.notes.append(f"Part {bucket} of {rule.parts} does not count as read back.")
        reads = {**reads, **dict.fromkeys(read, started)}
        self._cover(bucket, planning.by_first_byte(listing.stored, reads, self.frozen), reads)
        self.details = msgspec.structs.replace(
            self.details,
            snapshots=len(snapshots),
            reads=read,
            read_at=started if read else None,
            read_packs=len(checked),
            detects=planning.claims(len(listing.stored), len(checked)),
        )
        context.watcher.update(SAMPLE, Progress())
        self.sampled += self._sample(snapshots)
        self._prove()
        done = Progress(bytes_done=sum(file.size for file in self.sampled), files_done=len(self.sampled))
        context.watcher.update(SAMPLE, done)
        context.watcher.done(SAMPLE, "ok" if all(file.ok for file in self.sampled) else "failed")

    def _frozen(self, listing: Listing) -> frozenset[str]:
        """The packs that cannot be read now. Raises Frozen where trees lie in one: restic would try it for ever."""
        there = frost.packs(self.context, self.repository.tier)
        if there is None or not there.suspects:
            return frozenset()
        trees = self.repository.trees(no_cache=True)
        there.refuse_trees(self.repository.tier, listing.named, trees.data_only_packs())
        return frozenset(there.frozen(self.context.heed))

    def _read_back(self, listing: Listing, bucket: int) -> CheckResult:
        """What `check` with the part's data says, by our own reader: restic would read frozen packs as well, and wait
        for each of them. A pack's name is the sha256 of its bytes."""
        checked = self.repository.check(bucket=None, parts=self.rule.parts)
        packs = [
            pack
            for pack in sorted(listing.stored.keys() & listing.named.keys())
            if pack not in self.frozen and planning.in_bucket(int(pack[:2], 16), bucket, self.rule.parts)
        ]
        with ThreadPoolExecutor(PACKS_AT_ONCE) as pool:
            looked = list(pool.map(self._pack, packs))
        self.frozen |= {pack for pack, found in zip(packs, looked, strict=True) if found == "frozen"}
        broken = [pack for pack, found in zip(packs, looked, strict=True) if found == "broken"]
        return msgspec.structs.replace(
            checked, errors=checked.errors + len(broken), broken_packs=(*checked.broken_packs, *broken)
        )

    def _pack(self, pack: str) -> str:
        """What reading one pack back says of it: nothing, `broken`, or `frozen` where the bucket moved it just now."""
        self.context.heed()
        try:
            content = self.context.store.get(frost.key_of(self.context, self.repository.tier, pack))
        except errors.ObjectMissing:  # the listing tells of what is lost
            return ""
        except errors.Frozen:
            return "frozen"
        return "" if hashlib.sha256(content).hexdigest() == pack else "broken"

    def _tell_frozen(self, sizes: Sequence[int]) -> None:
        self.details = msgspec.structs.replace(self.details, frozen=len(sizes), frozen_size=sum(sizes))
        if self.frozen:
            self.notes.append(
                f"{len(self.frozen)} packs are frozen, in a class that must be thawed before it can be read. "
                f"{len(sizes)} of them belong to the part that was due: they were passed over and do not count as read."
            )

    def _cover(self, bucket: int, sums: dict[str, PackSums], reads: Mapping[int, Time]) -> None:
        now = self.context.clock.now()
        self.covered = planning.coverage(sums, now, reads, now, self.details.days)
        self.details = msgspec.structs.replace(
            self.details, bucket=bucket, packs=sums, stored=self.covered.bytes_total, coverage=self.covered
        )

    def _prove(self) -> None:
        """Snapshots of which every sampled file compared well, at least one, and which no damage costs anything.
        While it is not known what a damage costs, nothing is proven."""
        if not self.damage.costs_known or any(not damage.kind.startswith("pack_") for damage in self.damages):
            return
        by_snapshot: dict[str, list[SampledFile]] = defaultdict(list)
        for file in self.sampled:
            by_snapshot[file.snapshot].append(file)
        good = {name for name, files in by_snapshot.items() if all(file.ok for file in files)}
        proven = tuple(sorted(good - {snapshot for damage in self.damages for snapshot in damage.snapshots}))
        now, target, tier = self.context.clock.now(), self.context.target_name, self.details.tier
        self._ask(lambda catalog: catalog.mark_proven(target, proven, now, tier=tier, until=now + CLOCK_SLACK))
        self.details = msgspec.structs.replace(self.details, proven=proven, proven_at=now if proven else None)

    def _report(self) -> VerifyReport:
        ok = not self.damages and not self.unproven and all(file.ok for file in self.sampled)
        details = msgspec.structs.replace(
            self.details, sampled=len(self.sampled), damages=tuple(self.damages[:DAMAGES_KEPT])
        )
        job = msgspec.structs.replace(
            self.job,
            outcome="ok" if ok else "failed",
            finished_at=self.context.clock.now(),
            details=details.builtins(),
        )
        return VerifyReport(
            job=job,
            tier=details.tier,
            ok=ok,
            share=details.share,
            bucket=details.bucket,
            seed=details.seed,
            coverage=self.covered,
            damages=tuple(self.damages),
            sampled=tuple(self.sampled),
            proven=details.proven,
            notes=tuple(self.notes),
            read_packs=details.read_packs,
            detects=details.detects,
        )

    def _ask(self, question: Callable[[Catalog], T]) -> T | None:
        """Ask the catalogue, which may be down: then the verify goes on and says so."""
        try:
            return question(self.context.catalog())
        except (errors.CatalogUnavailable, errors.DiskFull) as error:
            if error.message not in self.notes:
                self.notes.append(error.message)
            return None

    def _sample(self, snapshots: Sequence[Snapshot]) -> list[SampledFile]:
        """Restore a few files of each domain's newest complete snapshot out of the store and compare them."""
        newest = self._newest(snapshots)
        counts = planning.shares(self.rule.sample, sorted(newest))
        workers = min(side_by_side(self.context), max(len(newest), 1))
        # Half of what is free, so that nothing else on that disk runs full either.
        room = shutil.disk_usage(tempfile.gettempdir()).free // 2 // workers

        def restored(item: tuple[str, Snapshot]) -> list[SampledFile]:
            return self._restored(*item, counts[item[0]], room)

        with ThreadPoolExecutor(workers) as pool:
            return [file for files in pool.map(restored, newest.items()) for file in files]

    def _newest(self, snapshots: Sequence[Snapshot]) -> dict[str, Snapshot]:
        """By domain the newest snapshot that is known to be complete. Where there are snapshots and none of them is,
        nothing can be proven, and that is no good end of a verify."""
        latest = self.context.latest()
        complete = {one.snapshot for one in latest.domains.values()} if latest else set()
        complete |= self._ask(self._complete) or set()
        there: dict[str, Snapshot | None] = {}
        for snapshot in snapshots:
            if snapshot.domain and snapshot.domain != CANARY and self._wanted(snapshot.domain):
                there[snapshot.domain] = snapshot if snapshot.original in complete else there.get(snapshot.domain)
        unknown = sorted(domain for domain, snapshot in there.items() if snapshot is None)
        if unknown:
            named = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
            self.notes.append(
                f"No snapshot of {named} is known to be complete, so nothing of it was restored: rw catalog rebuild"
            )
        if not snapshots:
            self.notes.append("The repository holds no snapshot, so nothing could be restored.")
        elif not there:
            self.notes.append("The repository holds no snapshot of what was asked for, so nothing could be restored.")
        self.unproven = bool(unknown) and len(unknown) == len(there)
        return {domain: snapshot for domain, snapshot in there.items() if snapshot is not None}

    def _wanted(self, domain: str) -> bool:
        return not self.domains or domain in self.domains

    def _complete(self, catalog: Catalog) -> set[str]:
        """A copy has its original's id, and may be known by that alone."""
        return {
            original
            for tier in {"hot", self.details.tier}
            for original, known in catalog.snapshots(self.context.target_name, tier).items()
            if known.complete
        }

    def _restored(self, domain: str, snapshot: Snapshot, count: int, room: int) -> list[SampledFile]:
        """A sample of one snapshot. What keeps it from being restored is told of it, and ends nothing else."""
        try:
            trees = self.repository.trees(no_cache=True)
            walked = self._readable(domain, trees, snapshot)
            chosen = self._chosen(domain, walked, count, room)
            # A domain without files is its folder. One of which all files are frozen proves nothing by that.
            if not chosen and not self.left_out.get(domain):
                chosen = list(islice(trees.walk(snapshot.tree), 1))
            if not chosen:
                return []
            with scratch(self.job) as place:
                self.repository.restore(snapshot.id, place, [entry.path for entry in chosen], no_cache=True)
                return [
                    SampledFile(
                        domain=domain,
                        snapshot=snapshot.original,
                        path=show_path(entry.path),
                        size=entry.size,
                        ok=mismatch is None,
                        why=mismatch.why if mismatch else "",
                    )
                    for entry, mismatch in compare(trees, chosen, os.fsencode(place), domain, cut=True)
                ]
        except errors.Interrupted:
            raise
        except errors.DiskFull as error:
            self.notes.append(f"{domain}: {error.message} {error.hint}".strip())
            why = error.message
        except errors.Failure as error:
            why = error.message
        except OSError as error:
            why = f"The sample could not be laid down in {tempfile.gettempdir()}: {error.strerror}."
        return [SampledFile(domain=domain, snapshot=snapshot.original, path="/", size=0, ok=False, why=why)]

    def _readable(self, domain: str, trees: Trees, snapshot: Snapshot) -> Iterator[Entry]:
        """What a snapshot holds, without the files of which something lies in a frozen pack."""
        if not self.frozen:
            yield from trees.walk(snapshot.tree)
            return
        self.left_out[domain] = 0
        walked = trees.walk(snapshot.tree)
        while batch := list(islice(walked, WALKED_AT_ONCE)):
            places = trees.packs_of({blob for entry in batch for blob in entry.content})
            cold = {blob for blob, packs in places.items() if not self.frozen.isdisjoint(packs)}
            for entry in batch:
                if cold.isdisjoint(entry.content):
                    yield entry
                else:
                    self.left_out[domain] += 1
        if count := self.left_out[domain]:
            files = f"{count} file{'s' if count != 1 else ''}"
            self.notes.append(f"{domain}: {files} could not be in the sample: they lie in frozen packs.")

    def _chosen(self, domain: str, entries: Iterator[Entry], count: int, room: int) -> list[Entry]:
        """`count` files that have `room` bytes together. Raises DiskFull where there are files and none of them has."""
        large = 0

        def small() -> Iterator[Entry]:
            nonlocal large
            for entry in entries:
                if entry.kind == "file" and entry.size <= room:
                    yield entry
                elif entry.kind == "file":
                    large += 1

        sampled = planning.sample(small(), count, self.seed)
        chosen = planning.fitting(sampled, room, lambda entry: entry.size)
        left_out = large + len(sampled) - len(chosen)
        place = tempfile.gettempdir()
        if left_out and not chosen:
            raise errors.DiskFull(
                f"There is no room at {place} for a sample.", hint="Make room there, or set TMPDIR to another place."
            )
        if left_out:
            self.notes.append(
                f"{domain}: {left_out} file{'s' if left_out != 1 else ''} could not be in the sample for want of room "
                f"at {place}: make room there, or set TMPDIR to another place."
            )
        return chosen
