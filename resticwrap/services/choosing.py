"""Which snapshots a wish means, and in which tier they are taken from.

What is in hot is taken from hot, else from cold. A snapshot is known by its original id in both, and a copy is complete
where its original is.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.snapshot import CANARY, Snapshot, TierName
from resticwrap.planning import owners
from resticwrap.planning import restore as planning
from resticwrap.ports import Repository, Trees
from resticwrap.services import frost, manifest
from resticwrap.services.completeness import Completeness
from resticwrap.services.context import Context, check_domains
from resticwrap.services.databases import moments

LOST = (errors.Damaged, errors.ObjectMissing, errors.ResticFailed)
"""What a damaged repository says of one domain, and not of the others."""
NO_COLD = (*LOST, errors.Frozen, errors.NoRepository, errors.WrongPassword)
"""What keeps cold from being looked into, while hot may have all that is wanted."""


@dataclass(frozen=True)
class Wish:
    """What to restore: `paths` below one domain, whole domains, or all of a job; from which snapshot, in which tier
    (None: hot where it is there, else cold)."""

    domains: tuple[str, ...]
    paths: tuple[str, ...] = ()
    snapshot: str = "latest"
    at: Time | None = None
    job: str | None = None
    tier: TierName | None = None
    exact: Mapping[str, str] = field(default_factory=dict)
    """By domain the id of its snapshot, where each domain has its own: then nothing else says which."""
    notes: tuple[str, ...] = ()
    """What whoever made the wish has to say."""


@dataclass(frozen=True)
class Choice:
    """One domain's snapshot, the name of its root in the tree, and the wanted paths as they stand in the snapshot.

    `complete`: it is known to be. `notes`: what a person should know of the choice. `tier`: where it is taken from.
    `trees`: the reader with which it was chosen, which has read the index; for one thread, and for as long as nobody
    waits for anything in between.
    """

    domain: str
    snapshot: Snapshot
    root: bytes
    paths: tuple[bytes, ...]
    complete: bool = True
    notes: tuple[str, ...] = ()
    tier: TierName = "hot"
    trees: Trees | None = field(default=None, repr=False, compare=False)
    until: Time | None = None
    """Of a database whose log is kept: the moment at which its replay stops; None: the end of what the snapshot has."""


@dataclass(frozen=True)
class Stock:
    """The snapshots of this host, among which a wish chooses, oldest first, and the tier of each by its current id.
    `others` are other hosts': of them only one is taken that is named by its id."""

    snapshots: Sequence[Snapshot]
    tiers: Mapping[str, TierName]
    complete: Completeness
    notes: tuple[str, ...] = ()
    others: Sequence[Snapshot] = ()

    @property
    def all(self) -> list[Snapshot]:
        """Everybody's, oldest first."""
        return sorted((*self.snapshots, *self.others), key=lambda one: (one.time, one.id))


def choose(context: Context, wish: Wish) -> list[Choice]:
    """Which snapshots a wish means. Raises NotFound, UsageError."""
    if wish.paths and len(wish.domains) != 1:
        raise errors.UsageError(
            "Paths belong to one domain.", hint="rw restore PATH --domain NAME   (rw ls --domain NAME lists them)"
        )
    if wish.tier is not None:
        return _chosen(context, wish, stock(context, [wish.tier]))
    # The latest is in hot, where backups go to. What is named or dated may be in either, or in hot no more.
    if wish.snapshot == "latest" and wish.at is None and wish.job is None and not wish.exact:
        hot = stock(context, ["hot"])
        if wish.domains or not _left_out(context, wish, hot):
            with contextlib.suppress(errors.NotFound):
                return _chosen(context, wish, hot)
    two = both(context)
    try:
        return _chosen(context, wish, two)
    except errors.NotFound as error:
        raise errors.NotFound(" ".join((error.message, *two.notes)), hint=error.hint) from error


def both(context: Context) -> Stock:
    """The snapshots of both tiers: hot, and of cold what hot has not. Where cold cannot be looked into a note says
    so."""
    if "cold" not in context.pins():
        return stock(context, ["hot"])
    try:
        return stock(context, ["hot", "cold"])
    except NO_COLD as error:
        hot = stock(context, ["hot"])  # raises the same where it is hot that cannot be read
        note = f"The cold repository could not be looked into, so only hot was: {error.message}"
        return replace(hot, notes=(note,))


def stock(context: Context, tiers: Sequence[TierName]) -> Stock:
    """The snapshots of these tiers, without the canary's; one that is in several counts for the first of them. Raises
    what keeps a tier from being read."""
    found: list[Snapshot] = []
    of: dict[str, TierName] = {}
    for tier in tiers:
        context.check_pin(tier)
        frost.preflight(context, tier)
        before = {snapshot.original for snapshot in found}
        listed = _listed(context.repositories[tier])
        for snapshot in planning.marked_first(listed) if tier == "cold" else listed:
            if snapshot.original not in before and snapshot.domain != CANARY:
                found.append(snapshot)
                of[snapshot.id] = tier
    found.sort(key=lambda snapshot: (snapshot.time, snapshot.id))
    own = owners.ours(found, context.settings.hosts)
    others = [snapshot for snapshot in found if snapshot.host not in context.settings.hosts]
    return Stock(snapshots=own, tiers=of, complete=Completeness(context, *tiers), others=others)


def _listed(repository: Repository) -> Sequence[Snapshot]:
    """Its snapshots. Its trees are needed next: the key for them is got meanwhile, which takes as long as the list."""
    with ThreadPoolExecutor(1, thread_name_prefix="open") as pool:
        pool.submit(repository.open)  # what keeps it from being opened, the first reader of trees meets again
        return repository.snapshots()


class _Readers:
    """One reader of each tier for all that is chosen there: each would read the index anew."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._made: dict[TierName, Trees | None] = {}

    def of(self, tier: TierName) -> Trees | None:
        """None where the key cannot be had."""
        if tier not in self._made:
            try:
                self._made[tier] = self._context.repositories[tier].trees()
            except LOST:
                self._made[tier] = None
        return self._made[tier]


def _chosen(context: Context, wish: Wish, among: Stock) -> list[Choice]:
    complete, now = among.complete, context.clock.now()
    readers = _Readers(context)
    choices = []
    for domain, name in _wanted(context, wish, among).items():
        pool = among.snapshots if name == "latest" else among.all
        moment = None if wish.at is None or name != "latest" else _moment(readers, wish.at, among, domain)
        try:
            snapshot = (
                moment.snapshot
                if moment
                else planning.choose(
                    pool,
                    domain,
                    wanted=name,
                    at=wish.at,
                    now=now,
                    complete=complete,
                    unknown=not complete.certain,
                    last=complete.last.get(domain),
                    host=context.settings.host,
                )
            )
        except errors.NotFound as error:
            raise owners.also_elsewhere(error, domain, among.others if name == "latest" else ()) from error
        said = planning.doubts(pool, domain, snapshot, wanted=name, at=wish.at, now=now, complete=complete)
        said += moment.notes if moment else ()
        tier = among.tiers[snapshot.id]
        repository = context.repositories[tier]
        trees = readers.of(tier)
        root = root_of(repository, snapshot, trees)
        paths = tuple(planning.inside(root, path) for path in wish.paths)
        for path, asked in zip(paths, wish.paths, strict=True):
            if next(iter(repository.entries(snapshot.id, snapshot.tree, path, trees=trees)), None) is None:
                raise errors.NotFound(
                    f"Snapshot {snapshot.original[:8]} of {domain} has no {asked}.",
                    hint=f"rw ls --domain {domain} --snapshot {snapshot.original[:8]}",
                )
        if tier == "cold":
            said += planning.unmarked(domain, snapshot)
        notes = (*wish.notes, *among.notes, *((complete.note,) if complete.note else ()), *said)
        until = moment.until if moment else None
        choices.append(Choice(domain, snapshot, root, paths, bool(complete(snapshot)), notes, tier, trees, until))
    return choices


def _moment(readers: "_Readers", at: Time, among: Stock, domain: str) -> moments.Pick | None:
    """The snapshot of a database's log that reaches a moment; it was made after that. None where none is kept."""
    return moments.pick(among.snapshots, domain, at, among.complete, lambda one: readers.of(among.tiers[one.id]))


def notes_of(choices: Sequence[Choice]) -> tuple[str, ...]:
    """What a person should know of these choices, once each."""
    return tuple(dict.fromkeys(note for choice in choices for note in choice.notes))


def _wanted(context: Context, wish: Wish, among: Stock) -> dict[str, str]:
    """By domain, which snapshot: an id (or its beginning), or `latest`."""
    if wish.exact:
        return dict(wish.exact)
    if wish.job:
        return _of_job(context, wish)
    if wish.domains:
        check_domains(context.settings, wish.domains, {snapshot.domain for snapshot in among.all})
        if wish.snapshot == "latest":
            _refuse_others(context, wish.domains, among)
        return dict.fromkeys(wish.domains, wish.snapshot)
    if wish.snapshot != "latest":
        return {planning.owner(among.all, wish.snapshot): wish.snapshot}
    return dict.fromkeys(everything(context, wish, among), "latest")


def _refuse_others(context: Context, domains: Sequence[str], among: Stock) -> None:
    """Raises NotFound for a domain of which only other hosts have snapshots."""
    own = {snapshot.domain for snapshot in among.snapshots}
    for domain in domains:
        if domain not in own and any(snapshot.domain == domain for snapshot in among.others):
            raise owners.elsewhere(domain, among.others, context.settings.host)


def everything(context: Context, wish: Wish, among: Stock) -> list[str]:
    """Every domain that has a complete snapshot, also one that the policy has dropped; the others are told of."""
    there = _there(wish, among)
    for name in _left_out(context, wish, among):
        context.watcher.note(f"{name} has no complete snapshot, so it is left out")
    if not there:
        raise errors.NotFound(
            f"Target {context.target_name} holds no complete snapshot of that time.",
            hint="rw snapshots   (on a new machine first: rw catalog rebuild)",
        )
    return sorted(there)


def _there(wish: Wish, among: Stock) -> set[str]:
    there: set[str] = set()
    for one in reversed(among.snapshots):
        if one.domain and one.domain not in there and (wish.at is None or one.time <= wish.at):
            known = among.complete(one)
            if known or (known is None and not among.complete.certain):
                there.add(one.domain)
    return there


def _left_out(context: Context, wish: Wish, among: Stock) -> list[str]:
    """The domains of the policy that have no complete snapshot there."""
    return sorted(set(context.settings.domains) - _there(wish, among))


def _of_job(context: Context, wish: Wish) -> dict[str, str]:
    """What a job left. Raises NotFound where a wished domain got no snapshot in it; others are told of."""
    assert wish.job is not None
    written = manifest.load(context, manifest.resolve(context, wish.job))
    runs = {listed.run.domain: listed.run.snapshot for listed in written.domains}
    for name in wish.domains or runs:
        if not runs.get(name):
            if wish.domains:
                raise errors.NotFound(
                    f"Job {written.job_id} has no snapshot of {name}.", hint=f"rw manifest show {written.job_id}"
                )
            context.watcher.note(f"{name} got no snapshot in that job, so it is left out")
    return {name: snapshot for name in wish.domains or runs if (snapshot := runs.get(name))}


def root_of(repository: Repository, snapshot: Snapshot, trees: Trees | None = None) -> bytes:
    """The name of a snapshot's one root, read by `trees` where that is given. Raises NotFound for an empty snapshot.

    Where the tree cannot be read it is the name of what was backed up: what is lost is told when it is restored.
    """
    try:
        for entry in repository.entries(snapshot.id, snapshot.tree, trees=trees):
            return entry.path
    except LOST:
        if snapshot.paths and (name := os.path.basename(snapshot.paths[0])):
            return os.fsencode(name)
        raise
    raise errors.NotFound(f"Snapshot {snapshot.original[:8]} is empty.", hint="rw snapshots")
