"""`rw verify`: read the store back, restore a sample for real, say what is damaged and what that costs.

All bytes come from the store and not from the local cache, which hides lost packs (measured). The structure check runs
without a restic lock, so that no incremental misses its time, under a lock of ours that keeps forget and prune away;
damage that it reports counts once a second look confirms it.
"""

import os
import secrets
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.job import Job
from resticwrap.model.objects import show_path
from resticwrap.model.policy import VerifyRule
from resticwrap.model.reports import Damage, SampledFile, VerifyReport
from resticwrap.model.snapshot import Snapshot
from resticwrap.planning import verify as planning
from resticwrap.ports import Catalog, CheckResult, Progress, Repository
from resticwrap.services.compare import compare
from resticwrap.services.context import Context, side_by_side

T = TypeVar("T")
PATHS_NAMED = 500
COVERAGE_MARGIN_DAYS = 7
"""A full cycle is one share a week; that and a week's grace is the window that coverage is counted over."""


def verify(
    context: Context, tier: str, rule: VerifyRule, domains: Sequence[str], seed: int | None = None
) -> VerifyReport:
    """Verify one repository of the target. Raises only where nothing could be verified at all."""
    job = context.new_job("verify")
    context.close_interrupted()
    seed = secrets.randbits(32) if seed is None else seed
    repository = context.repositories[tier]
    with context.running(job):
        context.check_pin(tier)
        context.watcher.begin(f"verify {job.id}", ["structure", "packs", "sample"])
        try:
            with context.locks.hold(f"maintenance {repository.url}", shared=True, wait=60):
                report = _Verify(context, repository, job, rule, domains, seed).run()
        finally:
            context.watcher.end()
        if late := context.recorder.close(report.job):
            report = msgspec.structs.replace(report, notes=(*report.notes, late))
    return report


class _Verify:
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

    def run(self) -> VerifyReport:
        context, repository, rule = self.context, self.repository, self.rule
        target, tier = context.target_name, repository.tier
        reads = self._ask(lambda catalog: catalog.reads(target, tier)) or {}
        bucket = planning.next_bucket(reads, rule.parts)
        started = context.clock.now()
        context.watcher.update("structure", Progress())
        snapshots = repository.snapshots(no_cache=True)
        packs = self._packs()
        checked = repository.check(bucket=bucket, parts=rule.parts)
        context.watcher.done("structure", "ok" if not checked.errors else "failed")
        context.watcher.update("packs", Progress())
        damages = self._damages(checked, packs, bucket, snapshots)
        bytes_read = [byte for byte in range(256) if planning.in_bucket(byte, bucket, rule.parts)]
        if not any(planning.in_bucket(int(pack[:2], 16), bucket, rule.parts) for pack in packs):
            self.notes.append(f"Part {bucket} of {rule.parts} holds no pack, so no pack was read back.")
        self._ask(lambda catalog: catalog.record_reads(target, tier, bytes_read, started))
        context.watcher.done("packs", "ok" if not damages else "failed")
        context.watcher.update("sample", Progress())
        sampled = self._sample(snapshots)
        proven = self._proven(sampled)
        context.watcher.done("sample", "ok" if all(file.ok for file in sampled) else "failed")
        now = context.clock.now()
        self._ask(lambda catalog: catalog.mark_proven(target, proven, now, tier=tier))
        days = rule.parts * 7 + COVERAGE_MARGIN_DAYS
        covered = planning.coverage(packs, {**reads, **dict.fromkeys(bytes_read, started)}, now, days)
        if not snapshots:
            self.notes.append("The repository holds no snapshot, so nothing could be restored.")
        ok = not damages and all(file.ok for file in sampled)
        job = msgspec.structs.replace(
            self.job,
            outcome="ok" if ok else "failed",
            finished_at=now,
            details={
                "tier": repository.tier,
                "share": rule.share,
                "bucket": bucket,
                "seed": self.seed,
                "coverage": msgspec.to_builtins(covered),
                "stored": sum(size for size, _ in packs.values()),
                "snapshots": len(snapshots),
                "damages": [msgspec.to_builtins(damage) for damage in damages[:50]],
                "sampled": len(sampled),
                "proven": list(proven),
            },
        )
        return VerifyReport(
            job=job,
            tier=repository.tier,
            ok=ok,
            share=rule.share,
            bucket=bucket,
            seed=self.seed,
            coverage=covered,
            damages=tuple(damages),
            sampled=tuple(sampled),
            proven=proven,
            notes=tuple(self.notes),
        )

    def _ask(self, question: Callable[[Catalog], T]) -> T | None:
        """Ask the catalogue, which may be down: then the verify goes on and says so."""
        try:
            return question(self.context.catalog())
        except errors.CatalogUnavailable as error:
            if error.message not in self.notes:
                self.notes.append(error.message)
            return None

    def _packs(self) -> dict[str, tuple[int, Time]]:
        """Every pack in the store, with its size and when it was written."""
        prefix = f"{self.context.target.namespace}/{self.repository.tier}/data/"
        listed = self.context.store.list(prefix)
        return {item.key.rsplit("/", 1)[-1]: (item.size, item.modified) for item in listed}

    def _damages(
        self,
        checked: CheckResult,
        packs: Mapping[str, tuple[int, Time]],
        bucket: int,
        snapshots: Sequence[Snapshot],
    ) -> list[Damage]:
        """What is damaged. Missing and cut packs are found by listing, since restic tells of them in prose alone."""
        if not checked.errors and not self._lost(packs):
            return []
        again = self.repository.check(bucket=bucket, parts=self.rule.parts)
        lost = self._lost(self._packs())
        broken = [pack for pack in again.broken_packs if pack not in lost]
        if not again.errors and not lost:
            self.notes.append("A first look reported damage that a second look did not find; nothing counts.")
            return []
        kinds = {**lost, **dict.fromkeys(broken, "pack_damaged")}
        damages = [self._cost(pack, kind, snapshots) for pack, kind in sorted(kinds.items())]
        if not damages:
            damages.append(
                Damage(
                    kind="structure",
                    name="; ".join(again.messages[:5]) or "restic check reports errors",
                    advice=planning.advice("index", "", self.context.target_name, ()),
                )
            )
        return damages

    def _lost(self, packs: Mapping[str, tuple[int, Time]]) -> dict[str, str]:
        """Packs that the index names and the store has not, or not whole."""
        lost = {}
        for pack, size in self.repository.trees(no_cache=True).packs().items():
            if pack not in packs:
                lost[pack] = "pack_missing"
            elif packs[pack][0] != size:
                lost[pack] = "pack_truncated"
        return lost

    def _cost(self, pack: str, kind: str, snapshots: Sequence[Snapshot]) -> Damage:
        """The snapshots and files that need what only this pack holds."""
        reader = self.repository.trees()
        blobs = frozenset(blob.id for blob in reader.blobs_in([pack]))
        affected = reader.affected({snapshot.tree for snapshot in snapshots}, blobs)
        hit = [snapshot for snapshot in snapshots if affected.get(snapshot.tree)]
        paths = sorted({path for tree_paths in affected.values() for path in tree_paths})
        domains = sorted({snapshot.domain for snapshot in hit if snapshot.domain})
        return Damage(
            kind=kind,  # type: ignore[arg-type]
            name=pack,
            files=len(paths),
            snapshots=tuple(snapshot.original for snapshot in hit),
            paths=tuple(show_path(path) for path in paths[:PATHS_NAMED]),
            advice=planning.advice(kind, pack, self.context.target_name, domains),
        )

    def _sample(self, snapshots: Sequence[Snapshot]) -> list[SampledFile]:
        """Restore a few files of each domain's newest complete snapshot out of the store and compare them."""
        latest = self.context.latest()
        complete = {known.snapshot: name for name, known in latest.domains.items()} if latest else {}
        newest: dict[str, Snapshot] = {}
        for snapshot in snapshots:
            name = complete.get(snapshot.original)
            if name is not None and (not self.domains or name in self.domains):
                newest[name] = snapshot
        counts = planning.shares(self.rule.sample, sorted(newest))

        def restored(item: tuple[str, Snapshot]) -> list[SampledFile]:
            return list(self._restored(*item, counts[item[0]]))

        with ThreadPoolExecutor(side_by_side(self.context)) as pool:
            return [file for files in pool.map(restored, newest.items()) for file in files]

    def _restored(self, domain: str, snapshot: Snapshot, count: int) -> Iterator[SampledFile]:
        try:
            trees = self.repository.trees(no_cache=True)
            files = (entry for entry in trees.walk(snapshot.tree) if entry.kind == "file")
            chosen = planning.sample(files, count, self.seed)
        except (errors.Damaged, errors.ObjectMissing) as error:
            yield SampledFile(domain=domain, snapshot=snapshot.original, path="/", size=0, ok=False, why=error.message)
            return
        with scratch() as place:
            self.repository.restore(snapshot.id, place, [entry.path for entry in chosen], no_cache=True)
            for entry, mismatch in compare(trees, chosen, os.fsencode(place), domain):
                yield SampledFile(
                    domain=domain,
                    snapshot=snapshot.original,
                    path=show_path(entry.path),
                    size=entry.size,
                    ok=mismatch is None,
                    why=mismatch.why if mismatch else "",
                )

    def _proven(self, sampled: Sequence[SampledFile]) -> tuple[str, ...]:
        """Snapshots of which every sampled file compared well, at least one."""
        by_snapshot: dict[str, list[SampledFile]] = defaultdict(list)
        for file in sampled:
            by_snapshot[file.snapshot].append(file)
        return tuple(sorted(name for name, files in by_snapshot.items() if all(file.ok for file in files)))


@contextmanager
def scratch() -> Iterator[Path]:
    """A private folder that is gone afterwards."""
    place = tempfile.mkdtemp(prefix="rw-verify-")
    try:
        yield Path(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
