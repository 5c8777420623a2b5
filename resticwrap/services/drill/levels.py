"""L1 and L2: what they restore is planned from what the repository holds, and a run executes that very plan."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.drill import Drilled, DrilledDomain, DrilledObject, Estimate, Level, drill_details
from resticwrap.model.drills import DrillPlan, DrillReport, PlannedDrill, PlannedObject
from resticwrap.model.objects import Entry, content_id, path_b64, show_path
from resticwrap.model.snapshot import Snapshot
from resticwrap.model.sources import DATABASES
from resticwrap.planning import dbproof
from resticwrap.planning import drill as planning
from resticwrap.planning import restore as choice_of
from resticwrap.planning.drill import Chosen
from resticwrap.ports import Trees
from resticwrap.services import choosing, frost, thaw
from resticwrap.services.choosing import LOST, Choice, Stock
from resticwrap.services.context import Context, side_by_side
from resticwrap.services.databases import reading
from resticwrap.services.databases.proving import Proof, loaded, together
from resticwrap.services.drill import canary, frame, tables
from resticwrap.services.drill import place as places
from resticwrap.services.drill.frame import Begun, Order, Rehearsal
from resticwrap.services.drill.rehearse import Back, Manifests, bring_back
from resticwrap.services.drill.tables import Table
from resticwrap.services.looks import Looks, by_original, policy_domains

DRILLS_LOOKED_AT = 30
UNFITTING = "could not be in the sample for want of room"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody asks of a drill besides its frame. `objects` None: the policy's. `how`: who agrees to a thaw.
    `snapshots`: by domain the one (its original id) that an L1 takes everything from."""

    order: Order
    domains: tuple[str, ...] = ()
    objects: int | None = None
    canary: bool = True
    how: thaw.Thawing = field(default_factory=thaw.Thawing)
    snapshots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pick:
    """One snapshot of which something is restored: `chosen` objects (paths relative to the domain), or all of it."""

    domain: str
    snapshot: Snapshot
    root: bytes
    source_time: Time
    chosen: tuple[Chosen, ...] = ()
    tables: Mapping[bytes, Table] = field(default_factory=dict)
    """Of a database: what is chosen are these tables, by name."""

    @property
    def whole(self) -> bool:
        return not self.chosen

    @property
    def paths(self) -> tuple[bytes, ...]:
        """As they stand in the snapshot; none where all of it is wanted, or is read."""
        if self.tables:
            return ()
        return tuple(b"/".join(part for part in (self.root, one.entry.path) if part) for one in self.chosen)

    @property
    def names(self) -> tuple[bytes, ...]:
        """What each of the chosen is called in what comes back."""
        return tuple(one.entry.path for one in self.chosen) if self.tables else self.paths

    @property
    def size(self) -> int:
        """Bytes that come back, as far as is known."""
        return sum(one.entry.size for one in self.chosen) if self.chosen else self.snapshot.size or 0


@dataclass
class Selection:
    """The snapshots and objects of a drill, what could not be chosen, and what a person should know of it."""

    picks: list[Pick] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    spread: float = 0.0


def drill(context: Context, asked: Asked) -> DrillReport:
    """Drill L1 or L2. Raises what keeps it from restoring anything at all."""
    tried = canary.trial(context) if asked.canary else None
    return frame.run(context, asked.order, lambda begun: _work(context, asked, begun), tried)


def plan(context: Context, asked: Asked) -> DrillPlan:
    """What a drill with this seed would restore; writes nothing. Raises what a run would raise."""
    context.pins()
    order = asked.order
    assert order.seed is not None
    declared = order.failure_at or context.clock.now()
    frame.refuse_future(context, declared)
    folder = places.check(context, order.scratch)
    may = places.room(folder)
    found = select(context, asked, order.seed, declared, may, latest=order.failure_at is None)
    return DrillPlan(
        target=context.target_name,
        level=order.level,
        tier=order.tier,
        seed=order.seed,
        declared_at=declared,
        scratch=str(folder),
        room=may,
        domains=tuple(_planned(context, pick) for pick in found.picks),
        objects=tuple(
            PlannedObject(
                domain=pick.domain,
                path=show_path(one.entry.path),
                snapshot=pick.snapshot.original,
                size=one.entry.size,
                reason=one.reason,
                path_b64=path_b64(one.entry.path),
            )
            for pick in found.picks
            for one in pick.chosen
        ),
        size=sum(pick.size for pick in found.picks),
        spread=found.spread,
        canary=asked.canary,
        notes=tuple(found.notes),
        failures=tuple(found.failures),
    )


def _planned(context: Context, pick: Pick) -> PlannedDrill:
    return PlannedDrill(
        domain=pick.domain,
        priority=context.settings.domains[pick.domain].priority,
        snapshot=pick.snapshot.original,
        time=pick.snapshot.time,
        source_time=pick.source_time,
        job=pick.snapshot.tags.job if pick.snapshot.tags else "",
        objects=len(pick.chosen) or pick.snapshot.files or 0,
        size=pick.size,
    )


def select(context: Context, asked: Asked, seed: int, declared: Time, may: int, *, latest: bool) -> Selection:
    """Which snapshots and objects a drill takes: the same for the same seed over the same records and repository.

    Raises DiskFull where an L2 has no room for all of it.
    """
    among = choosing.stock(context, [asked.order.tier])
    looks = Looks(context, among, declared)
    domains = policy_domains(context, asked.domains)
    found = Selection(notes=[*among.notes, *([among.complete.note] if among.complete.note else ())])
    if asked.order.level == "l2":
        _whole(context, asked, domains, among, looks, found)
        places.refuse_full(places.base(asked.order.scratch), sum(_room(context, pick) for pick in found.picks), may)
    else:
        at = None if latest else declared
        _sample(context, asked, domains, among, looks, found, at, seed, may)
    found.notes += [looks.note] if looks.note else []
    return found


def _room(context: Context, pick: Pick) -> int:
    """Bytes that a whole domain fills in the scratch place: a database is loaded there as well."""
    database = isinstance(context.settings.domains[pick.domain].source, DATABASES)
    return dbproof.room(pick.size) if database else pick.size


def _whole(
    context: Context, asked: Asked, domains: Sequence[str], among: Stock, looks: Looks, found: Selection
) -> None:
    """Every domain as it stood at the declared instant."""
    window = looks.window(domains)
    snapshots = by_original(among)
    repository = context.repositories[asked.order.tier]
    for name in domains:
        look = window.looks.get(name)
        if look is None:
            _absent(asked, name, found)
            continue
        snapshot = snapshots[look.snapshot]
        try:
            root = choosing.root_of(repository, snapshot)
            if snapshot.size is None:
                size = sum(entry.size for entry in repository.entries(snapshot.id, snapshot.tree))
                snapshot = msgspec.structs.replace(snapshot, size=size)
        except LOST as error:
            _lost(name, error, found)
            continue
        found.picks.append(Pick(name, snapshot, root, look.at))
    if window.looks:
        found.notes.append(window.why)
    found.spread = window.spread


def _sample(
    context: Context,
    asked: Asked,
    domains: Sequence[str],
    among: Stock,
    looks: Looks,
    found: Selection,
    at: Time | None,
    seed: int,
    may: int,
) -> None:
    """A few objects of each domain: of its newest snapshot, and of the oldest that is still there."""
    drilled = {name: _drilled(context, name, found) for name in domains}
    count = asked.objects or context.settings.recovery.drills.objects
    shares = planning.shares(count, {name: planning.last_drilled(of) for name, of in drilled.items()})
    if left := [name for name in domains if name not in shares]:
        found.notes.append(f"{len(left)} domains come round another time: there are fewer objects than domains.")
    each = may // max(len(shares), 1)  # so that no large domain takes the room of the others
    for number, name in enumerate(domains):
        if name not in shares:
            continue
        left_over = each
        try:
            newest = _named(asked, name, among) or _newest(context, name, among, at)
        except errors.NotFound:
            _absent(asked, name, found)
            continue
        wanted = planning.split(shares[name])
        oldest = newest if name in asked.snapshots else _oldest(name, among, newest)
        of_newest, of_oldest = wanted._replace(oldest=0), planning.Wanted(oldest=wanted.oldest)
        if oldest is newest:
            of_newest, of_oldest = wanted, planning.Wanted()
        for snapshot, part in ((newest, of_newest), (oldest, of_oldest)):
            if not sum(part):
                continue
            try:
                pick = _picked(context, asked, snapshot, part, drilled[name], seed + number, left_over, found)
            except LOST as error:
                _lost(name, error, found)
                continue
            if pick is not None:
                found.picks.append(replace(pick, source_time=looks.source_time(snapshot)))
                left_over -= pick.size


def _picked(
    context: Context,
    asked: Asked,
    snapshot: Snapshot,
    wanted: planning.Wanted,
    drilled: Mapping[bytes, Drilled],
    seed: int,
    may: int,
    found: Selection,
) -> Pick | None:
    repository = context.repositories[asked.order.tier]
    domain = snapshot.domain or ""
    root = choosing.root_of(repository, snapshot)
    counted, of_dump = 0, dict[bytes, Table]()
    if tables.by_table(context.settings.domains[domain]):
        of_dump = tables.tables_of(reading.facts(context, Choice(domain, snapshot, root, (), tier=asked.order.tier)))
        may //= dbproof.LOADED_SIZE

    def inside() -> Iterator[Entry]:
        nonlocal counted
        if of_dump:
            counted = len(of_dump)
            dump = next(iter(repository.entries(snapshot.id, snapshot.tree, root)))
            yield from tables.entries(dump, of_dump)
            return
        for entry in repository.entries(snapshot.id, snapshot.tree, root):
            context.heed()
            counted += entry.kind == "file"
            yield planning.relative(entry, root)

    known = {path: one.at for path, one in drilled.items()}
    bad = frozenset(path for path, one in drilled.items() if not one.ok)
    chosen = planning.fitting(planning.choose(inside(), wanted, known, seed, room=may, failed=bad), may)
    if not chosen and counted:
        what = "tables" if of_dump else "files"
        found.notes.append(f"{domain}: its {counted} {what} {UNFITTING}: give a larger place with --scratch.")
        if not any(pick.domain == domain for pick in found.picks):
            found.failures.append(f"{domain}: nothing of it {UNFITTING}.")
        return None
    if not chosen:  # a domain without files is its folder
        top = next(iter(repository.entries(snapshot.id, snapshot.tree, root)))
        chosen = [Chosen(planning.relative(top, root), "longest")]
    elif (missing := min(sum(wanted), counted) - len(chosen)) > 0:
        found.notes.append(f"{domain}: {missing} objects {UNFITTING}: give a larger place with --scratch.")
    taken = {one.entry.path: of_dump[one.entry.path] for one in chosen if one.entry.path in of_dump}
    return Pick(domain, snapshot, root, snapshot.time, tuple(chosen), taken)


def _drilled(context: Context, domain: str, found: Selection) -> dict[bytes, Drilled]:
    try:
        return dict(context.catalog().drilled(context.target_name, domain))
    except (errors.CatalogUnavailable, errors.DiskFull) as error:
        note = f"{error.message} What has gone longest without a drill is not known."
        found.notes += [note] if note not in found.notes else []
        return {}


def _named(asked: Asked, domain: str, among: Stock) -> Snapshot | None:
    """The snapshot that was asked for; None where none was. Raises NotFound where it is not there."""
    wanted = asked.snapshots.get(domain)
    found = next((one for one in among.snapshots if one.original == wanted), None)
    if wanted is not None and found is None:
        raise errors.NotFound(f"Snapshot {wanted[:8]} of {domain} is not there any more.", hint="rw snapshots")
    return found


def _newest(context: Context, domain: str, among: Stock, at: Time | None) -> Snapshot:
    """The snapshot that a restore would take. Raises NotFound."""
    complete = among.complete
    return choice_of.choose(
        among.snapshots,
        domain,
        at=at,
        now=context.clock.now(),
        complete=complete,
        unknown=not complete.certain,
        last=complete.last.get(domain),
        host=context.settings.host,
    )


def _oldest(domain: str, among: Stock, newest: Snapshot) -> Snapshot:
    """The oldest complete one that is still there."""
    return next((one for one in among.snapshots if one.domain == domain and among.complete(one)), newest)


def _absent(asked: Asked, domain: str, found: Selection) -> None:
    """What has no complete snapshot cannot be brought back. Cold gets its copies later, so that is no failure there."""
    said = f"{domain}: {asked.order.tier} has no complete snapshot of it at or before the declared instant."
    (found.notes if asked.order.tier == "cold" else found.failures).append(said)


def _lost(domain: str, error: errors.Failure, found: Selection) -> None:
    found.failures.append(f"{domain}: its trees could not be read ({error.kind}).")
    found.notes.append(f"{domain}: {error.message}")


# The work


def _work(context: Context, asked: Asked, begun: Begun) -> Rehearsal:
    """Select, thaw, restore and compare, domain by domain, in the order of their priority."""
    found = select(
        context,
        asked,
        begun.details.seed,
        begun.declared_at,
        begun.place.room,
        latest=asked.order.failure_at is None,
    )
    picks = _readable(context, asked, begun, found)
    order = list(dict.fromkeys(pick.domain for pick in picks))
    manifests = Manifests(context)
    context.watcher.begin(f"drill {asked.order.level} {begun.job.id}", order)
    try:
        with ThreadPoolExecutor(max(1, min(side_by_side(context), len(order)))) as pool:
            done = list(
                pool.map(
                    lambda name: _domain(context, begun, [pick for pick in picks if pick.domain == name], manifests),
                    order,
                )
            )
    finally:
        context.watcher.end()
    for one in done:
        for back in one.backs:
            begun.watch.add("download", back.downloaded)
            begun.watch.add("compare", back.compared)
    notes = [*found.notes, *manifests.notes, *(note for one in done for note in one.notes)]
    return Rehearsal(
        domains=tuple(one.domain for one in done),
        sample=tuple(row for one in done for row in one.sample),
        failures=tuple(found.failures),
        spread=found.spread,
        notes=tuple(notes),
        proven=tuple(name for one in done for name in one.proven),
        drilled=tuple(row for one in done for row in one.drilled),
        estimates=estimates(context, begun, tuple(one.domain for one in done)),
    )


@dataclass(frozen=True, kw_only=True)
class _Done:
    domain: DrilledDomain
    backs: tuple[Back, ...]
    sample: tuple[DrilledObject, ...] = ()
    proven: tuple[str, ...] = ()
    drilled: tuple[Drilled, ...] = ()
    notes: tuple[str, ...] = ()


def _domain(context: Context, begun: Begun, picks: Sequence[Pick], manifests: Manifests) -> _Done:
    """One domain: its picks one after the other, each in a folder of its own below the scratch place, which goes once
    the watch has stopped."""
    name = picks[0].domain
    policy = context.settings.domains[name]
    backs: list[Back] = []
    proofs: list[tuple[Pick, Proof]] = []
    sample: list[DrilledObject] = []
    drilled: list[Drilled] = []
    proven: list[str] = []
    notes: list[str] = []
    told = [manifests.names(pick.snapshot) for pick in picks]
    for pick, named in zip(picks, told, strict=True):
        folder = begun.place.folder / f"{name}-{pick.snapshot.original[:8]}"
        back, proof = _brought(context, begun, pick, folder)
        backs.append(back)
        if proof is not None:
            proofs.append((pick, proof))
            notes += [f"{name}: {note}" for note in proof.notes]
        if back.ok and named is not False and back.objects and (proof is None or proof.ok):
            proven.append(pick.snapshot.original)
            if proof is not None and pick.snapshot.tags is not None and pick.snapshot.tags.base:
                proven.append(pick.snapshot.tags.base)  # a log was loaded from its base on
        sample += _rows(context, begun, pick, back)
        now = context.clock.now()
        drilled += [
            Drilled(domain=name, path=one.entry.path, at=now, ok=path not in back.wrong and not back.troubles)
            for one, path in zip(pick.chosen, pick.names, strict=True)
        ]
        notes += _said(name, pick, back)
    newest = max(picks, key=lambda pick: pick.source_time)
    domain = DrilledDomain(
        domain=name,
        priority=policy.priority,
        snapshot=newest.snapshot.original,
        tree=newest.snapshot.tree,
        job=newest.snapshot.tags.job if newest.snapshot.tags else "",
        source_time=newest.source_time,
        objects=sum(back.objects for back in backs),
        size=sum(back.size for back in backs),
        failed=sum(max(back.failed, int(not back.ok)) for back in backs)
        + sum(not proof.ok and pick.whole for pick, proof in proofs),
        actual_rpo=max((begun.declared_at - newest.source_time).total_seconds(), 0.0),
        actual_rto=begun.watch.elapsed,
        rpo=policy.rpo.total_seconds(),
        rto=policy.rto.total_seconds(),
        manifest=False if False in told else None if None in told else True,
        whole=all(pick.whole for pick in picks),
        failures=_failures(backs, [proof for _, proof in proofs]),
        loaded=together([proof for _, proof in proofs]),
    )
    context.watcher.done(name, "ok" if domain.ok else "failed")
    return _Done(
        domain=domain,
        backs=tuple(backs),
        sample=tuple(sample),
        proven=tuple(proven),
        drilled=tuple(drilled),
        notes=tuple(notes),
    )


def _brought(context: Context, begun: Begun, pick: Pick, folder: Path) -> tuple[Back, Proof | None]:
    """What comes back of a pick: files, tables, or all of a domain, which is loaded as well where it is a database."""
    tier = begun.details.tier
    choice = Choice(pick.domain, pick.snapshot, pick.root, (), tier=tier)
    if pick.tables:
        return tables.bring_back(context, choice, pick.tables, folder, begun.watch)
    folder.mkdir(mode=0o700)
    back = bring_back(
        context, context.repositories[tier], pick.snapshot, _wanted(pick), folder, pick.domain, pick.paths
    )
    if not pick.whole or not back.ok:
        return back, None
    at = Path(os.fsdecode(os.path.join(os.fsencode(folder), pick.root)))
    return back, loaded(context, begun.watch, choice, at, folder.with_name(f"{folder.name}-load"))


def _failures(backs: Sequence[Back], proofs: Sequence[Proof]) -> tuple[str, ...]:
    return tuple([said for back in backs for said in back.failures()] + [said for one in proofs for said in one.said])


def _wanted(pick: Pick) -> Callable[[Trees], Iterable[Entry]]:
    """What a pick must bring back, with paths as they stand in the snapshot."""
    if pick.whole:
        return lambda trees: trees.walk(pick.snapshot.tree)
    full = [msgspec.structs.replace(one.entry, path=path) for one, path in zip(pick.chosen, pick.paths, strict=True)]
    return lambda _: full


def _content_id(pick: Pick, entry: Entry, chunker: str) -> str:
    if pick.tables:
        return f"sha256:{pick.tables[entry.path].facts.digest}"
    return content_id(entry.content, chunker) if entry.kind == "file" else ""


def _rows(context: Context, begun: Begun, pick: Pick, back: Back) -> list[DrilledObject]:
    """The objects of a sample; of whole domains those that did not compare."""
    chunker = context.repositories[begun.details.tier].trees().chunker
    rows = []
    for one, path in zip(pick.chosen, pick.names, strict=True):
        wrong = back.wrong.get(path)
        why = wrong.why if wrong else back.troubles[0].message if back.troubles else ""
        rows.append(
            DrilledObject(
                domain=pick.domain,
                path=show_path(one.entry.path),
                snapshot=pick.snapshot.original,
                size=one.entry.size,
                content_id=_content_id(pick, one.entry, chunker),
                reason=one.reason,
                ok=not why,
                why=why,
            )
        )
    if pick.whole:
        rows += [
            DrilledObject(
                domain=pick.domain,
                path=show_path(path[len(pick.root) :].lstrip(b"/")),
                snapshot=pick.snapshot.original,
                size=0,
                content_id="",
                reason="whole",
                ok=False,
                why=mismatch.why,
            )
            for path, mismatch in back.wrong.items()
        ]
    return rows


def _said(name: str, pick: Pick, back: Back) -> list[str]:
    said = [f"{name}: {error.message}" for error in back.troubles]
    if back.foreign:
        said.append(f"{name}: {back.foreign} owners could not be set: only root may. All else was compared.")
    if back.unfinished and back.ok:
        said.append(
            f"{name}: restic called {back.unfinished} objects of {pick.snapshot.original[:8]} not restored whole, "
            "though content, kind, mode and time of all compare well."
        )
    return said


def _readable(context: Context, asked: Asked, begun: Begun, found: Selection) -> list[Pick]:
    """The picks that can be read: what is frozen is thawed where somebody agrees, else passed over and told of."""
    how, tier = asked.how, asked.order.tier
    choices = [Choice(pick.domain, pick.snapshot, pick.root, pick.paths, tier=tier) for pick in found.picks]
    plans = thaw.plans(context, choices, how)
    if not plans:
        return found.picks
    if all(how.agrees(one) for one in plans):
        with begun.watch.phase("thaw"):
            thaw.bring(context, begun.job, plans)
        return found.picks
    there = frost.packs(context, tier)
    frozen = frozenset(there.frozen(context.heed)) if there is not None else frozenset[str]()
    trees = context.repositories[tier].trees()

    def cold(entry: Entry) -> bool:
        return any(not frozen.isdisjoint(packs) for packs in trees.packs_of(entry.content).values())

    kept = []
    for pick in found.picks:
        if pick.whole:
            out = int(any(cold(entry) for entry in trees.walk(pick.snapshot.tree)))
            said = "lies in part in frozen packs, so it was passed over"
        else:
            chosen = tuple(one for one in pick.chosen if not cold(one.entry))
            out = len(pick.chosen) - len(chosen)
            said = f"{out} objects of the sample lie in frozen packs, so they were passed over"
            if chosen:
                kept.append(replace(pick, chosen=chosen))
        if pick.whole and not out:
            kept.append(pick)
        if out:
            found.notes.append(f"{pick.domain}: {said}. --thaw asks for them and waits.")
    if not kept:
        found.failures.append("All that was to be restored lies in frozen packs, so nothing was proven.")
    return kept


# Estimates


def estimates(context: Context, begun: Begun, domains: Sequence[DrilledDomain]) -> tuple[Estimate, ...]:
    """What L2 and L3 would take, where this drill does not measure them at full size."""
    level = begun.details.level
    rates = [
        planning.rate(
            begun.job.id, msgspec.structs.replace(begun.details, domains=tuple(domains), seconds=begun.watch.elapsed)
        )
    ]
    try:
        catalog = context.catalog()
        jobs = catalog.jobs(context.target_name, kind="drill", limit=DRILLS_LOOKED_AT)
        rates += [planning.rate(job.id, told) for job in jobs if (told := drill_details(job)) is not None]
        sums = catalog.sums(context.target_name, begun.details.tier)
    except (errors.CatalogUnavailable, errors.DiskFull):
        return ()
    by = planning.best_rate(rates)
    sizes = {name: (sums[name].size, sums[name].files) for name in context.settings.domains if name in sums}
    if by is None or not sizes:
        return ()
    full = {domain.domain for domain in domains if domain.whole} >= set(sizes)
    wanted: list[Level] = ["l3"] if level == "l2" and full else ["l2", "l3"]
    found = [one for name in wanted for one in planning.estimate(name, sizes, by)]
    return tuple(one for one in found if one.level == "l2" or not one.domain)
