"""The figures that `rw` has to meet, each measured by a function with a set-up of its own."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks import data
from benchmarks.databases import database
from benchmarks.measure import Pairs, Row, Sample, command
from benchmarks.rig import Rig, bare, bare_restore, restore_inside, rw, rw_backup, rw_inside, rw_restore
from resticwrap.catalog.database import default_url
from resticwrap.catalog.jobs import SqlCatalog
from resticwrap.model.job import DomainRun, Job
from resticwrap.model.snapshot import Snapshot, Tags
from resticwrap.model.verified import PackSums, VerifyDetails
from tests.lab import Lab
from tests.servers.proxy import TcpProxy
from tests.servers.weed import start_weed

GIB = 1 << 30
LATENCY = 0.02
"""Seconds that each round trip to the S3 server takes more."""


def first(rig: Rig) -> Iterator[Row]:
    """A first backup, each into fresh repositories."""
    size = rig.size(2 * GIB, 4 * data.MIB)
    root = rig.new_folder("data") / "mixed"
    data.mixed(root, size)

    def fresh(run: Callable[[Lab], Sample]) -> Sample:
        lab = rig.lab({"mixed": root})
        try:
            return run(lab)
        finally:
            rig.remove(lab)

    what = f"first backup of {size >> 20} MiB"
    ways = (("first", "command line", rw_backup), ("first-inside", "inside one process", rw_inside))
    for name, way, run in ways:
        pairs = Pairs.take(rig.size(5, 1), partial(fresh, partial(bare, domain="mixed")), partial(fresh, run))
        yield Row(name, f"{what}, {way}", pairs.ratio, "x", 1.03, pairs.details)


def unchanged(rig: Rig) -> Iterator[Row]:
    """Nothing has changed: what `rw` itself costs."""
    root = rig.new_folder("data") / "mixed"
    data.mixed(root, rig.size(64, 1) * data.MIB)
    lab = rig.lab({"mixed": root})
    turns = rig.size(15, 1)
    rw_backup(lab)
    rw_inside(lab)
    what = "unchanged domain: more than restic itself"
    pairs = Pairs.take(turns, lambda: bare(lab, "mixed"), lambda: rw_inside(lab))
    yield Row("unchanged-inside", f"{what}, inside one process", pairs.more, "ms", 150, pairs.details)
    pairs = Pairs.take(turns, lambda: bare(lab, "mixed"), lambda: rw_backup(lab))
    yield Row("unchanged", f"{what}, command line", pairs.more, "ms", 400, pairs.details)


def eight(rig: Rig) -> Iterator[Row]:
    """Eight domains over a slow network, against eight commands in a row."""
    folder = rig.new_folder("data")
    roots = {f"d{number}": folder / f"d{number}" for number in range(rig.size(8, 2))}
    for root in roots.values():
        data.tiny(root, rig.size(2000, 20), per_folder=100)
    with start_weed(rig.new_folder("weed")) as weed, TcpProxy("127.0.0.1", weed.port, latency=LATENCY) as proxy:
        lab = rig.lab(
            roots,
            provider="s3",
            endpoint=proxy.endpoint,
            bucket="bench",
            region=weed.region,
            credentials={"access_key_id": "${LAB_KEY}", "secret_access_key": "${LAB_SECRET}"},
            env={"LAB_KEY": weed.access_key, "LAB_SECRET": weed.secret_key},
        )
        turn = count()

        def measured(run: Callable[[], Sample], changed: bool) -> Sample:
            if changed:
                number = next(turn)
                for root in roots.values():
                    data.change_tiny(root, number, folders=3)
            return run()

        def in_a_row() -> Sample:
            samples = [bare(lab, name) for name in roots]
            return Sample(sum(one.wall for one in samples), sum(one.cpu for one in samples))

        rw_backup(lab)
        what = f"eight domains to S3, {LATENCY * 1000:.0f} ms a round trip, against eight restics in a row"
        for name, changed, which in (("eight", True, "three files each"), ("eight-unchanged", False, "nothing")):
            pairs = Pairs.take(
                rig.size(7, 1),
                partial(measured, in_a_row, changed),
                partial(measured, partial(rw_backup, lab), changed),
            )
            yield Row(name, f"{what}: {which} changed", pairs.ratio, "x", 0.4, pairs.details)


def copy(rig: Rig) -> Iterator[Row]:
    """A day's fulls to cold, against one `restic copy` of them and a `sha256sum` of what it wrote."""
    folder, domains = rig.new_folder("data"), rig.size(4, 1)
    roots = {f"d{number}": folder / f"d{number}" for number in range(domains)}
    for number, root in enumerate(roots.values()):
        data.mixed(root, rig.size(GIB, 4 * data.MIB) // domains, seed=number)

    def fresh(run: Callable[[Lab], Sample]) -> Sample:
        lab = rig.lab(roots)
        rw(lab, "backup", "--quiet", "--type", "full")
        try:
            return run(lab)
        finally:
            rig.remove(lab)

    def by_hand(lab: Lab) -> Sample:
        with lab.house() as house:
            ids = [one.id for one in house.context.hot.snapshots()]
        cold = lab.store / lab.namespace / "cold"
        env = {**lab.env, "RESTIC_FROM_PASSWORD_FILE": lab.env["RESTIC_PASSWORD_FILE"]}
        copied = command(
            [str(lab.restic), "-r", str(cold), "copy", "--from-repo", str(cold.parent / "hot"), *ids],
            env=env,
            cwd=lab.folder,
        )
        packs = [str(path) for path in (cold / "data").rglob("*") if path.is_file()]
        summed = command(["sha256sum", *packs], env=lab.env, cwd=lab.folder)
        return Sample(copied.wall + summed.wall, copied.cpu + summed.cpu)

    what = f"{rig.size(GIB, 4 * data.MIB) >> 20} MiB in {domains} fulls to cold, against one restic copy and sha256sum"
    pairs = Pairs.take(
        rig.size(5, 1), partial(fresh, by_hand), partial(fresh, lambda lab: rw(lab, "tier", "run", "--quiet"))
    )
    yield Row("copy", what, pairs.ratio, "x", 1.1, pairs.details)


def restore_large(rig: Rig) -> Iterator[Row]:
    """Large files back, compared, against a bare restore that compares nothing."""
    root = rig.new_folder("data") / "large"
    size = rig.size(2 * GIB, 16 * data.MIB)
    data.large(root, size)
    yield from _restores(rig, "restore-large", f"restore of {size >> 20} MiB of large files", root)


def restore_small(rig: Rig) -> Iterator[Row]:
    """The same of small files."""
    root, files = rig.new_folder("data") / "small", rig.size(100_000, 200)
    data.small(root, files)
    yield from _restores(rig, "restore-small", f"restore of {files:,} small files", root)


def _restores(rig: Rig, name: str, what: str, root: Path) -> Iterator[Row]:
    lab = rig.lab({root.name: root})
    rw_backup(lab)
    pairs = Pairs.take(rig.size(5, 1), lambda: bare_restore(lab, root.name), lambda: restore_inside(lab, root.name))
    # At least 0.9 of the throughput is at most 1/0.9 of the time.
    yield Row(name, f"{what}, compared", pairs.ratio, "x", 1 / 0.9, pairs.details)


def restore_one(rig: Rig) -> Iterator[Row]:
    """One object out of many, against a bare restore with --include."""
    root, files = rig.new_folder("data") / "tiny", rig.size(500_000, 1_000)
    data.tiny(root, files)
    lab = rig.lab({root.name: root})
    rw_backup(lab)
    middle = files // 2 + 123
    path = f"{middle // 500:05d}/answer_{middle:07d}.txt"
    what = f"one object out of {files:,}, compared"
    for name, way, run in (
        ("restore-one-inside", "inside one process", restore_inside),
        ("restore-one", "command line", rw_restore),
    ):
        pairs = Pairs.take(
            rig.size(7, 1),
            lambda: bare_restore(lab, root.name, path),
            partial(run, lab, root.name, path),
        )
        yield Row(name, f"{what}, {way}", pairs.ratio, "x", 1.2, pairs.details)


def start(rig: Rig) -> Iterator[Row]:
    """How long until `rw` says something."""
    lab = Lab(rig.new_folder("lab"), rig.restic, {"provider": "local", "path": str(rig.folder / "nowhere")})
    for option in ("version", "help"):
        samples = [rw(lab, f"--{option}") for _ in range(rig.size(21, 1))]
        yield _alone(f"start-{option}", f"rw --{option}", samples, 1000, "ms", 120)


def history(rig: Rig) -> Iterator[Row]:
    """A month's history."""
    lab = Lab(rig.new_folder("lab"), rig.restic, {"provider": "local", "path": str(rig.folder / "nowhere")})
    snapshots = rig.size(10_000, 100)
    _fill_catalogue(lab, snapshots)
    for name, options in (("history", ()), ("history-all", ("--limit", "0", "--json"))):
        samples = [rw(lab, "history", *options) for _ in range(rig.size(7, 1))]
        yield _alone(name, f"{' '.join(('rw history', *options))} over {snapshots:,} snapshots", samples, 1, "s", 1)


def gate(rig: Rig) -> Iterator[Row]:
    """The gate's answer out of a month's records, with a year of weekly verifies of both tiers."""
    lab = Lab(rig.new_folder("lab"), rig.restic, {"provider": "local", "path": str(rig.folder / "nowhere")})
    snapshots = rig.size(10_000, 100)
    _fill_catalogue(lab, snapshots)
    # Its repositories are nowhere, so there are reasons: they warn, for a command that is measured has to end with 0.
    kinds = ("proof", "backup", "drill", "objective", "damage", "bucket", "evidence", "clock")
    (lab.folder / "policies" / "gates.yaml").write_text(
        f"rules: {dict.fromkeys(kinds, 'warn')}".join(("gates: {", "}"))
    )
    sums = {f"{byte:02x}": PackSums(packs=9, size=1 << 27) for byte in range(256)}
    catalog = SqlCatalog(default_url(lab.state))
    catalog.close_jobs(
        Job(
            id=f"verify_{number}", kind="verify", target="main", outcome="ok", host="lab", pid=1,
            started_at=datetime.now(UTC) - timedelta(days=3 * number + 1),
            details=VerifyDetails(tier="hot" if number % 2 else "cold", packs=sums, bucket=1).builtins(),
        )
        for number in range(rig.size(100, 2))
    )  # fmt: skip
    catalog.close()
    samples = [rw(lab, "gate", "--explain") for _ in range(rig.size(7, 1))]
    yield _alone("gate", f"rw gate --explain over {snapshots:,} snapshots", samples, 1, "s", 0.5)


def retention(rig: Rig) -> Iterator[Row]:
    """Planning a forget: guards, both tiers and a quota."""
    snapshots, file = rig.size(70_000, 800), rig.new_folder("retention") / "told"
    took, peak = [], []
    for _ in range(rig.size(5, 1)):
        program = [sys.executable, "-m", "benchmarks.retention", str(snapshots), str(file)]
        command(program, env={"PATH": "/usr/bin"}, cwd=Path(__file__).parents[1])
        seconds, mebibytes = file.read_text().split()
        took.append(float(seconds))
        peak.append(float(mebibytes))
    what = f"planning a forget over {snapshots:,} snapshots"
    yield Row("retention", what, median(took), "s", 2)
    yield Row("retention-memory", f"{what}, peak memory", max(peak), "MiB", 300)


def memory(rig: Rig) -> Iterator[Row]:
    """The most memory that the process of `rw` itself has had, without restic's."""
    files = rig.size(500_000, 1_000)
    root = rig.new_folder("data") / "tiny"
    data.tiny(root, files)
    for turn, manifests in enumerate(("sealed",) if rig.quick else ("sealed", "plain")):
        lab = rig.lab({"tiny": root}, manifests=manifests)
        for name in ("first", "incremental"):
            peak = _peak(lab, "backup", "--quiet")
            yield Row(
                f"memory-{name}{'' if manifests == 'sealed' else '-plain'}",
                f"peak memory of rw, {name} backup of {files:,} files, {manifests} manifests",
                peak,
                "MiB",
                150 if manifests == "sealed" else None,
            )
            data.change_tiny(root, turn)
        rig.remove(lab)


def _alone(name: str, what: str, samples: list[Sample], factor: float, unit: str, limit: float) -> Row:
    walls = [one.wall * factor for one in samples]
    return Row(name, what, median(walls), unit, limit, {"samples": [round(wall, 4) for wall in walls]})


PEAK = """
import atexit, sys
def tell(file=sys.argv.pop(1)):
    lines = open("/proc/self/status").read().splitlines()
    open(file, "w").write(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
atexit.register(tell)
from resticwrap.cli.main import main
main()
"""
"""`rw`, which writes its own peak in KiB to its first argument. What the kernel tells a parent counts restic's in."""


def _peak(lab: Lab, *arguments: str) -> float:
    file = lab.folder / "peak"
    command([sys.executable, "-c", PEAK, str(file), *arguments], env=lab.env, cwd=lab.folder)
    return int(file.read_text()) / 1024


def _fill_catalogue(lab: Lab, total: int, domains: int = 4) -> None:
    """As many snapshots as asked for, spread over the last four weeks in jobs of four domains."""
    end = datetime.now(UTC)
    step = timedelta(days=28) / (total // domains)
    snapshots: list[tuple[Snapshot, bool]] = []
    jobs: list[Job] = []
    for number in range(total // domains):
        at = end - step * (total // domains - number)
        id_ = f"snapshot_{at:%Y%m%dT%H%M%SZ}_{number:06x}"
        runs = []
        for place in range(domains):
            name, snapshot = f"domain{place}", f"{number * domains + place:064x}"
            common = {"layer": "raw", "priority": "P0", "type": "incremental"}
            runs.append(
                DomainRun(
                    **common,  # type: ignore[arg-type]
                    domain=name,
                    outcome="ok",
                    looked_at=at,
                    finished_at=at + timedelta(seconds=3),
                    snapshot=snapshot,
                    tree=snapshot,
                    files=5000,
                    size=1 << 30,
                    added=1 << 20,
                    files_new=3,
                    files_changed=2,
                    duration=3.0,
                )
            )
            tags = Tags(**common, domain=name, job=id_, tier="hot", expire_after_days=30)  # type: ignore[arg-type]
            found = Snapshot(
                id=snapshot, original=snapshot, time=at, tree=snapshot, host="lab", paths=(), tags=tags, size=1, files=1
            )
            snapshots.append((found, True))
        jobs.append(
            Job(
                id=id_,
                kind="backup",
                target="main",
                outcome="ok",
                started_at=at,
                finished_at=at + timedelta(seconds=4),
                host="lab",
                pid=1,
                type="incremental",
                domains=tuple(runs),
            )
        )
    catalog = SqlCatalog(default_url(lab.state))
    catalog.close_jobs(jobs)
    catalog.put_snapshots("main", "hot", snapshots)
    catalog.close()


@dataclass(frozen=True)
class Case:
    """A function that measures, and the room that it needs in bytes when it is not a smoke run."""

    measure: Callable[[Rig], Iterator[Row]]
    room: int


CASES: dict[str, Case] = {
    "start": Case(start, 0),
    "history": Case(history, 1 << 28),
    "gate": Case(gate, 1 << 28),
    "retention": Case(retention, 1 << 20),
    "unchanged": Case(unchanged, 1 << 29),
    "restore_small": Case(restore_small, 4 * GIB),
    "restore_large": Case(restore_large, 8 * GIB),
    "restore_one": Case(restore_one, 6 * GIB),
    "database": Case(database, 10 * GIB),
    "copy": Case(copy, 4 * GIB),
    "eight": Case(eight, 1 << 30),
    "first": Case(first, 6 * GIB),
    "memory": Case(memory, 12 * GIB),
}
"""By name, the quickest first."""
