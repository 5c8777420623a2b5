"""Which snapshots are known to be complete: by the catalogue, and where that is down by what else tells it."""

from collections.abc import Iterator, Mapping

from resticwrap import errors
from resticwrap.model.job import DomainRun, Manifest
from resticwrap.model.snapshot import Snapshot
from resticwrap.ports import KnownSnapshot
from resticwrap.services.context import Context


class Completeness:
    """Asked about a snapshot: True, False (known to be partial, or recorded as not known), None where nothing says so.

    Of several tiers it is complete where it is so in any: a copy is what its original is, and hot may have forgotten
    that.

    The catalogue is asked once. Where it is down, the state directory (`latest`, spooled jobs, kept manifests) and then
    the manifest of the snapshot's job in the target tell the same, and `note` says so.
    """

    def __init__(self, context: Context, *tiers: str) -> None:
        self._context = context
        latest = context.latest()
        self.last = {name: one.snapshot for name, one in latest.domains.items()} if latest else {}
        self._newest = frozenset(self.last.values())
        self._manifests: dict[str, Manifest | None] = {}
        self.note = ""
        self._catalog: Mapping[str, KnownSnapshot] | None = None
        try:
            known: dict[str, KnownSnapshot] = {}
            for tier in {"hot", *tiers}:
                for name, one in context.catalog().snapshots(context.target_name, tier).items():
                    if name not in known or one.complete:
                        known[name] = one
            self._catalog = known
        except errors.CatalogUnavailable as error:
            self.note = f"{error.message} What is complete was taken from the state directory and the manifests."

    @property
    def certain(self) -> bool:
        """Whether the catalogue answers: then what it does not know is not taken for complete."""
        return self._catalog is not None

    def __call__(self, snapshot: Snapshot) -> bool | None:
        if snapshot.original in self._newest:
            return True
        if self._catalog is not None:
            known = self._catalog.get(snapshot.original)
            return known.complete if known else None
        return next((run.complete for run in self._runs(snapshot) if run.snapshot == snapshot.original), None)

    def _runs(self, snapshot: Snapshot) -> Iterator[DomainRun]:
        if snapshot.tags is None:
            return
        name = snapshot.tags.job
        for job in self._context.state.spooled():
            if job.id == name:
                yield from job.domains
        for written in self._context.state.kept(self._context.target_name):
            if isinstance(written, Manifest) and written.job_id == name:
                yield from (listed.run for listed in written.domains)
        if name not in self._manifests:
            self._manifests[name] = self._load(name)
        if (manifest := self._manifests[name]) is not None:
            yield from (listed.run for listed in manifest.domains)

    def _load(self, job: str) -> Manifest | None:
        """A manifest that cannot be had says nothing; the restore itself asks the target again."""
        try:
            key = self._context.manifests.find(job)
            return self._context.manifests.get(key) if key else None
        except errors.Interrupted:
            raise
        except errors.Failure:
            return None
