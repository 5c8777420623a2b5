"""What a benchmark runs on: fresh repositories with restic's own key, a lab around them, bare restic beside it."""

import os
import platform
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import Sample, call, command
from resticwrap.services import backup as service
from resticwrap.services import repositories
from resticwrap.services import restore as restoring
from resticwrap.services.choosing import Wish
from tests.lab import Lab, template

NUMBERS = count(1)


@dataclass
class Rig:
    """Where benchmarks work and with what. `quick` is a smoke run: little data, one turn, keys that open at once."""

    folder: Path
    restic: Path
    quick: bool

    def size(self, whole: int, quick: int) -> int:
        """A size or a count, by how much is to be done."""
        return quick if self.quick else whole

    def new_folder(self, name: str) -> Path:
        """An empty folder of a benchmark's own."""
        folder = self.folder / f"{name}-{next(NUMBERS)}"
        folder.mkdir(parents=True)
        return folder

    @cached_property
    def empty(self) -> Path:
        """Empty repositories `hot` and `cold`, made once since restic takes seconds to calibrate a key. Every key has
        restic's own cost, but in a smoke run."""
        if self.quick:
            return template(self.restic)
        folder = self.new_folder("empty")
        lab = Lab(folder / "lab", self.restic, {"provider": "local", "path": str(folder / "store")})
        lab.rw("init")
        return lab.store / lab.namespace

    def lab(self, domains: Mapping[str, Path | dict[str, Any]], **target: Any) -> Lab:
        """A lab with fresh repositories and these roots (or domains as policies have them); local unless `target` says
        otherwise."""
        folder = self.new_folder("lab")
        secret = target.pop("env", {})
        policy = target if "provider" in target else {"provider": "local", "path": str(folder / "store"), **target}
        lab = Lab(
            folder,
            self.restic,
            policy,
            env=dict(secret),
            domains={
                name: root
                if isinstance(root, dict)
                else {"layer": "raw", "priority": "P0", "source": {"root": str(root)}}
                for name, root in domains.items()
            },
        )
        with lab.house() as house:
            house.store.create()
            if policy["provider"] == "local":
                shutil.copytree(self.empty, lab.store / lab.namespace)
            else:
                for path in sorted(self.empty.rglob("*")):
                    if path.is_file():
                        house.store.put(f"{lab.namespace}/{path.relative_to(self.empty)}", path.read_bytes())
            repositories.init(house.context, house.password)
        return lab

    def remove(self, lab: Lab) -> None:
        """Give the room of a lab back."""
        shutil.rmtree(lab.folder)

    def empty_folder(self) -> None:
        """Give all room back."""
        for below in self.folder.iterdir():
            shutil.rmtree(below)


def installed_rw() -> str:
    """The `rw` that an operator starts: the script beside this Python."""
    return str(Path(sysconfig.get_path("scripts")) / "rw")


def rw(lab: Lab, *arguments: str) -> Sample:
    """`rw …` from the command line."""
    return command([installed_rw(), *arguments], env=lab.env, cwd=lab.folder)


def rw_backup(lab: Lab) -> Sample:
    """`rw backup` from the command line."""
    return rw(lab, "backup", "--quiet")


def rw_inside(lab: Lab) -> Sample:
    """`rw backup` inside this process, as a service that lives on would do it; policies are read anew each time."""
    return call(lambda: _backup(lab))


def _backup(lab: Lab) -> None:
    with lab.house() as house:
        report = service.backup(
            house.context, service.plan(house.context, "incremental", house.settings.select_domains(()))
        )
    assert report.job.outcome == "ok", report.job


def bare(lab: Lab, domain: str) -> Sample:
    """The `restic backup` that `rw backup` runs for a domain, as somebody would type it; a first one without parent."""
    with lab.house() as house:
        access = house.store.restic_access()
        latest = house.state.latest("main")
    parent = latest.domains[domain].current_id if latest else None
    root = Path(lab.domains[domain]["source"]["root"])
    return command(
        [
            *(str(lab.restic), "-r", access.url("hot")),
            *(word for option in access.options for word in ("-o", option)),
            *("backup", "--host", "lab", "--tag", f"domain={domain}"),
            *(("--parent", parent, "--skip-if-unchanged") if parent else ()),
            *("--", root.name),
        ],
        env={**lab.env, **access.env},
        cwd=root.parent,
    )


def rw_restore(lab: Lab, domain: str, path: str | None = None) -> Sample:
    """`rw restore` of a domain, or of one path of it, into a new folder: everything is compared, too."""
    to = lab.folder / f"back-{next(NUMBERS)}"
    paths = [path] if path else []
    try:
        return rw(lab, "restore", *paths, "--quiet", "--domain", domain, "--to", str(to))
    finally:
        shutil.rmtree(to, ignore_errors=True)


def restore_inside(lab: Lab, domain: str, path: str | None = None) -> Sample:
    """The same inside this process; policies are read anew each time."""
    to = lab.folder / f"back-{next(NUMBERS)}"

    def work() -> None:
        with lab.house() as house:
            report = restoring.restore(house.context, Wish((domain,), (path,) if path else ()), to)
        assert report.job.outcome == "ok", report

    try:
        return call(work)
    finally:
        shutil.rmtree(to, ignore_errors=True)


def bare_restore(lab: Lab, domain: str, path: str | None = None) -> Sample:
    """The `restic restore` that somebody would type, which compares nothing."""
    to = lab.folder / f"back-{next(NUMBERS)}"
    with lab.house() as house:
        access = house.store.restic_access()
    root = Path(lab.domains[domain]["source"]["root"]).name
    try:
        return command(
            [
                *(str(lab.restic), "-r", access.url("hot")),
                *(word for option in access.options for word in ("-o", option)),
                *("restore", "latest", "--target", str(to)),
                *(("--include", f"/{root}/{path}") if path else ()),
            ],
            env={**lab.env, **access.env},
            cwd=lab.folder,
        )
    finally:
        shutil.rmtree(to, ignore_errors=True)


def machine() -> dict[str, object]:
    """What it was measured on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    system = os.uname()
    return {
        "processor": model,
        "processors": len(os.sched_getaffinity(0)),
        "memory_mib": memory >> 10,
        "kernel": f"{system.sysname} {system.release} {system.machine}",
        "python": platform.python_version(),
    }


def load() -> float:
    """The load average of the last minute: above the number of processors, times mean little."""
    return round(os.getloadavg()[0], 2)


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []
