"""A fresh look at one repository, for a repair: what is damaged, what that costs, and what may bring it back.

Nothing here writes. All packs that hold trees are read back, and those of data that an earlier verify named or that
somebody asks for; what was found sound is not read twice.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec

from resticwrap import errors
from resticwrap.model.bucket import ObjectVersion
from resticwrap.model.objects import show_path
from resticwrap.model.repair import BadObject, LostObject
from resticwrap.model.snapshot import Snapshot
from resticwrap.model.verified import verify_details
from resticwrap.planning import recover as versions_planning
from resticwrap.planning.repair import Facts
from resticwrap.ports import KnownSnapshot, Repository
from resticwrap.services import frost
from resticwrap.services.context import Context, side_by_side
from resticwrap.services.damage import Damages
from resticwrap.services.verify import DAMAGES_KEPT

FOLDERS = {"key": "keys", "index": "index", "snapshot": "snapshots"}
OTHER = {"hot": "cold", "cold": "hot"}


@dataclass
class Look:
    """Looks again and again at the repository of a tier. `notes` are for an operator; `affected` gathers by original id
    the trees of all snapshots that damage cost anything at any look."""

    context: Context
    tier: str
    full: bool = False
    notes: list[str] = field(default_factory=list)
    affected: dict[str, str] = field(default_factory=dict)
    versions: dict[str, tuple[ObjectVersion, ObjectVersion | None]] = field(default_factory=dict)
    """By key: the version with the right bytes, and the delete marker that lies right on it."""
    sound: set[str] = field(default_factory=set)
    snapshots: Sequence[Snapshot] = ()
    unlooked: set[str] = field(default_factory=set)
    """What may have older versions that we were not let look at."""
    doubts: list[str] = field(default_factory=list)
    """Why what is missing may still come back from where nobody could look."""

    @property
    def here(self) -> Repository:
        return self.context.repositories[self.tier]

    @property
    def other(self) -> Repository:
        return self.context.repositories[OTHER[self.tier]]

    def key(self, one: BadObject) -> str:
        """Where an object lies in the bucket."""
        return f"{self.context.target.namespace}/{self.tier}/{place_of(one)}"

    def doubt(self, text: str) -> None:
        """Also a note."""
        self.note(text)
        if text not in self.doubts:
            self.doubts.append(text)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def facts(self) -> Facts:
        """What is known now. Raises what keeps it from looking at all, but for damage."""
        damages = Damages(self.context, self.here, self.note)
        small = [BadObject(kind=one.kind, name=one.name) for one in damages.small_files()]  # type: ignore[arg-type]
        if any(one.kind in ("config", "key") for one in small):
            self.note("The repository does not open, so what else is damaged is not known yet.")
            return Facts(small=self._sourced(self._every_key(small)))
        self.context.check_pin(self.tier)
        frost.preflight(self.context, self.tier)
        self.snapshots = self.here.snapshots(no_cache=True)
        small += [BadObject(kind="snapshot", name=one.name) for one in self._gone(damages, small)]
        absent = self._absent(small)
        try:
            packs, stored, named = self._packs(damages)
            return self._costs(Facts(small=self._sourced(small), packs=self._sourced(packs), absent=absent,
                                     strange=len(stored - named), twins=self._twins()))  # fmt: skip
        except (errors.Damaged, errors.ObjectMissing) as error:
            self.note(f"{error.message} So what damaged packs there are, and what they cost, is told after that.")
            for one in {snapshot.domain: snapshot for snapshot in self.snapshots if snapshot.domain}.values():
                self.affected.setdefault(one.original, one.tree)
            return Facts(small=self._sourced(small), absent=absent)

    def _gone(self, damages: Damages, small: Sequence[BadObject]) -> list[BadObject]:
        known = {one.name for one in small}
        found = damages.lost_snapshots(self.snapshots, ())
        return [BadObject(kind="snapshot", name=one.name) for one in found if one.name not in known]

    def _every_key(self, small: Sequence[BadObject]) -> list[BadObject]:
        """`all` keys gone: those of which the bucket keeps a version."""
        if not any(one.kind == "key" and one.name == "all" for one in small):
            return list(small)
        bucket, prefix = self.context.bucket(), f"{self.context.target.namespace}/{self.tier}/keys/"
        names = {one.key.rsplit("/", 1)[-1] for one in bucket.versions(prefix)} if bucket else set[str]()
        rest = [one for one in small if one.name != "all"]
        return [*rest, *(BadObject(kind="key", name=name) for name in sorted(names) or ["all"])]

    # Packs

    def _packs(self, damages: Damages) -> tuple[list[BadObject], set[str], set[str]]:
        """The bad packs that the index names, all packs that are there, and all that it names."""
        listing = damages.listing()
        lost = listing.lost()
        bad = [
            BadObject(kind=kind, name=pack, size=listing.named[pack])  # type: ignore[arg-type]
            for pack, kind in sorted(lost.items())
        ]
        there = frost.packs(self.context, self.tier)
        cold = frozenset(there.frozen(self.context.heed)) if there is not None and there.suspects else frozenset[str]()
        trees = self.here.trees(no_cache=True)
        wanted = (
            set(listing.named) if self.full else self._suspects() | (listing.named.keys() - trees.data_only_packs())
        )
        wanted = (wanted & listing.named.keys()) - lost.keys() - self.sound
        if wanted & cold:
            self.note(f"{len(wanted & cold)} packs are frozen and were not read back: {_few(wanted & cold)}.")
        due = sorted(wanted - cold)
        with ThreadPoolExecutor(side_by_side(self.context)) as pool:
            for pack, good in zip(due, pool.map(self._is_sound, due), strict=True):
                if good:
                    self.sound.add(pack)
                else:
                    bad.append(BadObject(kind="pack_damaged", name=pack, size=listing.named[pack]))
        return bad, set(listing.stored), set(listing.named)

    def _suspects(self) -> set[str]:
        """The packs that the newest verify of this tier called damaged; every one where its record may not name all."""
        for job in self.context.catalog().jobs(self.context.target_name, kind="verify", limit=200):
            details = verify_details(job)
            if details is not None and details.tier == self.tier and (details.bucket or details.damages):
                if len(details.damages) >= DAMAGES_KEPT:
                    self.full = True
                    return set(self.here.trees().packs())
                return {one.name for one in details.damages if one.kind.startswith("pack_")}
        return set()

    def _is_sound(self, pack: str) -> bool:
        """Twice where it is not: a fault of the network is no damage."""
        return any(self._hashes(frost.key_of(self.context, self.tier, pack), pack) for _ in range(2))

    def _hashes(self, key: str, name: str) -> bool:
        self.context.heed()
        try:
            return hashlib.sha256(self.context.store.get(key)).hexdigest() == name
        except errors.ObjectMissing:
            return False

    # Where sound copies are

    def _sourced(self, bad: Iterable[BadObject]) -> tuple[BadObject, ...]:
        return tuple(self._with_source(one) for one in bad)

    def _with_source(self, one: BadObject) -> BadObject:
        if self.cached(one) is not None:
            return msgspec.structs.replace(one, sound="cache")
        return msgspec.structs.replace(one, sound="version") if self._version(one) else one

    def fits(self, one: BadObject, content: bytes) -> bool:
        """Whether these bytes are what the object's name stands for; of a config, what was pinned."""
        digest = hashlib.sha256(content).hexdigest()
        return digest == (self.context.pins()[self.tier].config_digest if one.kind == "config" else one.name)

    def cached(self, one: BadObject) -> bytes | None:
        """The right bytes out of restic's cache on this machine, None where it has not got them."""
        if one.kind in ("config", "key"):
            return None
        folder = self.context.settings.cache_dir / self.context.pins()[self.tier].repository_id
        kind = FOLDERS.get(one.kind, "data")
        try:
            content = (folder / kind / one.name[:2] / one.name).read_bytes()
        except OSError:
            return None
        return content if self.fits(one, content) else None

    def _version(self, one: BadObject) -> bool:
        """Look for an older version with the right bytes, once."""
        key, bucket = self.key(one), self.context.bucket()
        if bucket is None or key in self.versions:
            return key in self.versions
        try:
            if bucket.versioning() == "off":
                return False
            found = [version for version in bucket.versions(key) if version.key == key]
            ordered = next((several for _, several in versions_planning.by_key(found)), [])
            for place, version in enumerate(ordered):
                if not version.marker and self.fits(one, bucket.read_version(version)):
                    marker = ordered[0] if place == 1 and ordered[0].marker else None
                    self.versions[key] = (version, marker)
                    return True
        except (errors.TargetRefused, errors.ObjectMissing) as error:
            self.unlooked.add(one.name)
            self.doubt(
                f"Older versions could not be looked at, which takes the maintainer's credentials: {error.message}"
            )
        return False

    # What it costs

    def _costs(self, facts: Facts) -> Facts:
        """What snapshots need and no sound pack has, and what else may have it."""
        if not facts.packs and not facts.strange and not self._unnamed():
            return msgspec.structs.replace(facts, live=self._live((), facts.absent))
        trees = self.here.trees()
        roots = {snapshot.tree for snapshot in self.snapshots}
        all_bad = frozenset(one.name for one in facts.packs)
        hurt_now, unnamed = trees.unsound(roots, all_bad)
        hurt = trees.affected(roots, hurt_now)
        for snapshot in self.snapshots:
            if hurt[snapshot.tree]:
                self.affected.setdefault(snapshot.original, snapshot.tree)
        missing = self._missing(facts, hurt_now)
        costly = trees.affected(roots, missing)
        ids = tuple(snapshot.id for snapshot in self.snapshots if costly[snapshot.tree])
        elsewhere = self._elsewhere(missing) if missing else {}
        lost = self._lost(costly, missing, elsewhere) if missing else ()
        return msgspec.structs.replace(
            facts, unnamed=len(unnamed), missing=missing, elsewhere=elsewhere, hurt=ids, lost=lost,
            live=self._live(lost, facts.absent),
        )  # fmt: skip

    def _unnamed(self) -> bool:
        """Whether a tree needs something that no index names."""
        lost, _ = self.here.trees().unsound({snapshot.tree for snapshot in self.snapshots}, frozenset())
        return bool(lost)

    def _missing(self, facts: Facts, hurt: frozenset[str]) -> frozenset[str]:
        """Less than what is hurt: sound copies of packs come back, and damaged packs can be read in part."""
        unsourced = frozenset(one.name for one in facts.packs if one.sound is None)
        missing = hurt
        if len(unsourced) < len(facts.packs):
            missing = self.here.trees().unsound({snapshot.tree for snapshot in self.snapshots}, unsourced)[0]
        for one in facts.packs:
            if one.sound is None and one.kind != "pack_missing":
                try:
                    missing -= self.here.readable_blobs(one.name)
                except errors.ObjectMissing:
                    continue
        return missing

    def _lost(
        self, costly: Mapping[str, Sequence[bytes]], missing: frozenset[str], elsewhere: Mapping[str, frozenset[str]]
    ) -> tuple[LostObject, ...]:
        """Every file that something is missing of, by domain and path, with what may bring it back."""
        there = frozenset[str]().union(*elsewhere.values())
        sizes: dict[str, dict[bytes, tuple[int, frozenset[str]]]] = {}
        found: dict[tuple[str, bytes, int], tuple[list[str], bool]] = {}
        for snapshot in self.snapshots:
            if snapshot.tree not in sizes:
                sizes[snapshot.tree] = {path: self._entry(snapshot.tree, path) for path in costly[snapshot.tree]}
            for path, (size, blobs) in sizes[snapshot.tree].items():
                needs = blobs & missing
                coming = needs <= there if needs else bool(there)
                several, before = found.setdefault((snapshot.domain or "", path, size), ([], True))
                several.append(snapshot.original)
                found[snapshot.domain or "", path, size] = (several, before and coming)
        return tuple(
            LostObject(domain=domain, path=show_path(path), size=size, snapshots=tuple(originals),
                       hope="tier" if coming else "live" if self._alive(domain, path, size) else "none")
            for (domain, path, size), (originals, coming) in sorted(found.items())
        )  # fmt: skip

    def _entry(self, tree: str, path: bytes) -> tuple[int, frozenset[str]]:
        """The size of a file, and its blobs. Of a folder that cannot be read nothing is known."""
        if path.endswith(b"/"):
            return 0, frozenset()
        try:
            entry = next(iter(self.here.trees().walk(tree, path)))
        except (errors.Damaged, errors.ObjectMissing, StopIteration):
            return 0, frozenset()
        return entry.size, frozenset(entry.content)

    def _alive(self, domain: str, path: bytes, size: int) -> bool:
        """Whether the live source has a file of that size there; of a folder, whether it has it."""
        policy = self.context.settings.domains.get(domain)
        if policy is None or policy.is_database or self.tier != "hot":
            return False
        try:
            look = self.context.sources(domain, policy).look()
            found = os.lstat(os.path.join(look.cwd, path.strip(b"/")))
        except (errors.Failure, OSError):
            return False
        return path.endswith(b"/") or found.st_size == size

    def _live(self, lost: Sequence[LostObject], absent: Mapping[str, str]) -> tuple[str, ...]:
        """The domains to be backed up again. A folder that cannot be read may come back whole with its source."""
        if self.tier != "hot":
            return ()
        domains = {one.domain for one in lost if one.hope == "live"}
        known = self._known()
        domains |= {known[name].domain for name in absent if name in known}
        return tuple(sorted(domains & self.context.settings.domains.keys()))

    # The other tier

    def _elsewhere(self, missing: frozenset[str]) -> dict[str, frozenset[str]]:
        """By id of a snapshot in the other tier, what it brings. restic passes over one that is here with the same
        tags, so that is left out; and one that needs a frozen pack for it."""
        try:
            self.context.check_pin(self.other.tier)
            snapshots = self.other.snapshots(no_cache=True)
            trees = self.other.trees()
            wanted = trees.wanting({one.tree for one in snapshots if one.tags}, missing)
        except errors.Interrupted:
            raise
        except errors.NoRepository:
            return {}
        except errors.Failure as error:
            self.doubt(f"The {self.other.tier} repository could not be asked for what is missing: {error.message}")
            return {}
        same = {(one.original, one.tree, frozenset(one.raw_tags)) for one in self.snapshots}
        offers = {one.id: wanted[one.tree] for one in snapshots if one.tags and wanted[one.tree]}
        for one in snapshots:
            if one.id in offers and (one.original, one.tree, frozenset(one.raw_tags)) in same:
                del offers[one.id]
                self.doubt(
                    f"The copy of {one.original[:8]} in {self.other.tier} is not proven yet, and restic does not copy "
                    f"it back as it is. rw tier run --target {self.context.target_name} proves it; then repair again."
                )
        return self._thawed(offers)

    def _thawed(self, offers: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        there = frost.packs(self.context, self.other.tier)
        if there is None or not there.suspects or not offers:
            return offers
        frozen = frozenset(there.frozen(self.context.heed))
        places = self.other.trees().packs_of(frozenset[str]().union(*offers.values()))
        cold = {blob for blob, packs in places.items() if not frozen.isdisjoint(packs)}
        kept = {name: blobs for name, blobs in offers.items() if cold.isdisjoint(blobs)}
        if len(kept) < len(offers):
            packs = {pack for blob in cold for pack in places[blob]} & frozen
            self.doubt(
                f"{len(packs)} packs of {self.other.tier} hold what is missing and are frozen: thaw them first, by a "
                f"restore of what is lost (rw restore --tier {self.other.tier} --thaw), then repair again: "
                f"{_few(packs)}."
            )
        return kept

    def _absent(self, small: Sequence[BadObject]) -> dict[str, str]:
        """By name of a snapshot that is bad or gone: the id of its copy in the other tier, "" where there is none."""
        names = [one.name for one in small if one.kind == "snapshot"]
        if not names:
            return {}
        known = self._known()
        try:
            there = {(one.original, one.tree): one.id for one in self.other.snapshots(no_cache=True)}
        except errors.Interrupted:
            raise
        except errors.Failure:
            there = {}
        here = {(one.original, one.tree) for one in self.snapshots}
        found: dict[str, str] = {}
        for name in names:
            one = known.get(name)
            identity = (one.original, one.tree) if one else ("", "")
            found[name] = "" if identity in here else there.get(identity, "")
            if one:
                self.affected.setdefault(one.original, one.tree)
        return found

    def _known(self) -> dict[str, KnownSnapshot]:
        """What the catalogue knows of the snapshots of this tier, by the id that they have now."""
        found = self.context.catalog().snapshots(self.context.target_name, self.tier).values()
        return {one.current_id: one for one in found}

    def _twins(self) -> tuple[str, ...]:
        """Copies that a killed repair left: the same snapshot is here with the tag of this tier."""
        own = {(one.original, one.tree) for one in self.snapshots if one.tags and one.tags.tier == self.tier}
        return tuple(
            one.id
            for one in self.snapshots
            if one.tags and one.tags.tier != self.tier and (one.original, one.tree) in own
        )


def place_of(one: BadObject) -> str:
    """Where an object lies in its repository."""
    if one.kind == "config":
        return "config"
    folder = FOLDERS.get(one.kind)
    return f"{folder}/{one.name}" if folder else f"data/{one.name[:2]}/{one.name}"


def _few(packs: Iterable[str]) -> str:
    named = sorted(packs)
    return ", ".join(named[:5]) + (" …" if len(named) > 5 else "")
