"""Hand the schedule to systemd or cron: write their files, bring them up to date, and take them back."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.outside import Keeper, OutsideFile, OutsideJob, OutsideReport
from resticwrap.planning import cronfile, outside, units
from resticwrap.planning.calendar import ahead, crontab, left_out, on_calendar
from resticwrap.planning.cronfile import Line
from resticwrap.planning.outside import Facts
from resticwrap.services.outside_ports import Keepers
from resticwrap.settings import Settings

SYSTEMD, CRON_D = Path("/etc/systemd/system"), Path("/etc/cron.d")
UNITS = (".service", ".timer", ".target")
MINE = "crontab"
"""Stands for the path of a user's own crontab, which is reached through `crontab` alone."""
PASSING = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/run"))
"""What lies there is gone after a boot."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for. `output` is a folder in place of where systemd and cron look."""

    keeper: Keeper
    name: str = "resticwrap"
    user: bool = False
    daemon: bool = False
    output: Path | None = None
    mailto: str = "root"
    force: bool = False
    dry_run: bool = False


def install(read: Settings, keepers: Keepers, wish: Wish, facts: Facts, now: Time) -> OutsideReport:
    """Write what the schedule wants, and take away what it does not want any more. Raises Failure, and then nothing
    was changed, where a file is not ours, where rw would vanish, or where cron cannot keep a time."""
    _may(keepers, wish)
    if not facts.jobs:
        raise errors.Failure(
            "No job of the schedule is enabled.", hint="Write some into schedule.yaml, or take all away: --remove"
        )
    notes = _stable(facts, wish)
    if wish.keeper == "systemd":
        wanted = units.daemon(facts) if wish.daemon else units.units(facts)
        when = {name: on_calendar(job, facts.zone) for name, job in facts.jobs.items()}
        for name, job in facts.jobs.items():
            if not when[name] and job.every is not None:
                when[name] = (f"{int(job.every.total_seconds())}s after the start of the one before",)
        notes += _twice(keepers, wish, read.folder)
        if wish.user:
            notes.append("Without `loginctl enable-linger` these run only while you are logged in, and unconfined.")
    else:
        when = _cron_times(facts, read, keepers, now)
        text = cronfile.cronfile(
            facts, [Line(name, job, when[name]) for name, job in facts.jobs.items()], mailto=wish.mailto
        )
        _speakable(facts, text)
        wanted = {wish.name: text}
        notes.append("Cron makes nothing up: what falls into a time when this machine is off is left out.")
    if not wish.daemon:
        notes += _left_out(facts, read, now)
    jobs = tuple(
        OutsideJob(name=name, kind=job.kind, target=job.target, when=when[name], command=outside.command(facts, job))
        for name, job in facts.jobs.items()
    )
    return _carry_out(read, keepers, wish, wanted, jobs, notes, facts.writes)


def remove(read: Settings, keepers: Keepers, wish: Wish) -> OutsideReport:
    """Take away what `install` wrote, and nothing else. Raises Failure where it was changed by hand."""
    _may(keepers, wish)
    return _carry_out(read, keepers, wish, {}, (), [], ())


def _may(keepers: Keepers, wish: Wish) -> None:
    """Raises Failure where whom it is for is not there, or does not listen to us."""
    if wish.output is not None or wish.dry_run:
        return
    if not wish.user and not keepers.root:
        raise errors.Failure(
            "Only root may write jobs for the whole machine.", hint="--user installs them for yourself, or use sudo."
        )
    if wish.keeper == "systemd" and not keepers.runs_systemd(user=wish.user):
        raise errors.Failure(
            f"systemd does not {'run for this user' if wish.user else 'run this machine'}.",
            hint="--cron writes a crontab; --output FOLDER writes the units for another machine.",
        )
    if wish.keeper == "cron" and not wish.user and not CRON_D.is_dir():
        raise errors.Failure(
            f"There is no cron here that reads {CRON_D}.", hint="Install cron, or write it elsewhere: --output FOLDER"
        )


def _stable(facts: Facts, wish: Wish) -> list[str]:
    """Raises Failure where rw or the policies lie in a place that does not last; where nothing starts, it is a note."""
    found = [
        f"{what} is {path}, which does not last."
        for what, path in (("rw", Path(facts.rw[0])), ("The policies folder", facts.policies))
        if any(path.is_relative_to(place) for place in PASSING) or ".cache" in path.parts
    ]
    if found and not (wish.output or wish.dry_run or wish.force):
        raise errors.Failure(" ".join(found), hint="Put rw and the policies where they stay, such as /opt and /etc.")
    return found


def _left_out(facts: Facts, read: Settings, now: Time) -> list[str]:
    found = {name: left_out(job, read.schedule.zone, now) for name, job in facts.jobs.items()}
    return [
        f"{name}: on {at:%Y-%m-%d} the clocks of {facts.zone} jump over {at:%H:%M}, when it is left out or moved."
        for name, at in found.items()
        if at is not None
    ]


def _cron_times(facts: Facts, read: Settings, keepers: Keepers, now: Time) -> dict[str, tuple[str, ...]]:
    name, zone = keepers.zone()
    shift = 0 if name == facts.zone else ahead(read.schedule.zone, zone, now)
    found = {job: crontab(facts.jobs[job], shift) for job in facts.jobs}
    if refused := cronfile.refusals(found):
        raise errors.Failure(
            f"Cron on this machine ({name}) cannot keep the schedule ({facts.zone}). {'. '.join(refused)}.",
            hint="Change schedule.yaml, or let systemd do it: rw schedule install --systemd",
        )
    return {job: one.lines for job, one in found.items()}


def _speakable(facts: Facts, text: str) -> None:
    if bad := cronfile.unspeakable(facts):
        raise errors.Failure(
            f"No line of a crontab can hold what stands in {', '.join(bad)}.", hint="Put it into --env-file FILE"
        )
    if cronfile.too_long(text):
        raise errors.Failure(
            "A line would be longer than cron reads.", hint="Put the variables into a file: --env-file FILE"
        )


def _twice(keepers: Keepers, wish: Wish, policies: Path) -> list[str]:
    """Jobs that cron keeps as well."""
    there = keepers.files(CRON_D, wish.name) if wish.output is None and not wish.user else {}
    return [
        f"{path} runs the same jobs: rw schedule install --cron --remove"
        for path, text in there.items()
        if outside.whose(text, wish.name, policies) == "ours"
    ]


def _carry_out(
    read: Settings,
    keepers: Keepers,
    wish: Wish,
    wanted: Mapping[str, str],
    jobs: tuple[OutsideJob, ...],
    notes: Sequence[str],
    places: Sequence[Path],
) -> OutsideReport:
    folder, there, whole = _there(keepers, wish)
    wanted = {MINE if folder is None else str(folder / file): text for file, text in wanted.items()}
    plan = outside.changes(wanted, there, wish.name, read.folder, force=wish.force)
    if plan.refused:
        raise errors.Failure(
            f"Nothing was written: {'; '.join(plan.refused)}.",
            hint="Look with --dry-run --force at what --force would change, or take another --name.",
        )
    live = wish.output is None
    if not wish.dry_run:
        for place in places if live else ():
            keepers.make(place)
        if folder is not None:
            _write(keepers, wish, plan.files, live=live and wish.keeper == "systemd")
        elif any(file.action != "keep" for file in plan.files):
            before, _, behind = cronfile.split(whole, wish.name)
            keepers.put_crontab(cronfile.joined(before, wanted.get(MINE), behind))
    return OutsideReport(
        keeper=wish.keeper,
        mode="planned" if wish.dry_run else "installed" if wanted else "removed",
        folder=str(folder or MINE),
        jobs=jobs,
        files=plan.files,
        next=tuple(_next(wish, plan.files)),
        notes=tuple(notes),
    )


def _there(keepers: Keepers, wish: Wish) -> tuple[Path | None, Mapping[str, str], str]:
    """The folder (None for a user's own crontab), what lies there under our names, and that crontab."""
    if wish.keeper == "cron" and wish.user and wish.output is None:
        whole = keepers.crontab()
        try:
            ours = cronfile.split(whole, wish.name)[1]
        except ValueError:
            raise errors.Failure(
                "Our lines in your crontab have lost their last one, so nobody can say where they end.",
                hint="Remove them by hand: crontab -e",
            ) from None
        return None, {} if ours is None else {MINE: ours}, whole
    if wish.keeper == "cron":
        folder = (wish.output or CRON_D).absolute()
        return folder, keepers.files(folder, wish.name), ""
    folder = (wish.output or (keepers.home / ".config/systemd/user" if wish.user else SYSTEMD)).absolute()
    found = keepers.files(folder, f"{wish.name}*")
    return folder, {path: text for path, text in found.items() if path.endswith(UNITS)}, ""


def _write(keepers: Keepers, wish: Wish, files: Sequence[OutsideFile], *, live: bool) -> None:
    """`live`: systemd is told. What goes is stopped first, while its unit still says how."""
    gone = units.enabled(Path(file.path).name for file in files if file.action == "remove")
    if live and gone:
        keepers.systemctl(["disable", "--now", *gone], user=wish.user)
    for file in files:
        if file.action in ("add", "change"):
            keepers.write(Path(file.path), file.content)
        elif file.action == "remove":
            keepers.remove(Path(file.path))
    if not live or not files:
        return
    keepers.systemctl(["daemon-reload"], user=wish.user)
    stays = units.enabled(Path(file.path).name for file in files if file.action != "remove")
    if stays:
        keepers.systemctl(["enable", "--now", *stays], user=wish.user)
    changed = {Path(file.path).name for file in files if file.action == "change"}
    if again := [name for name in stays if name in changed]:
        keepers.systemctl(["restart", *again], user=wish.user)


def _next(wish: Wish, files: Iterable[OutsideFile]) -> list[str]:
    """What a person does with files that were written elsewhere."""
    names = [Path(file.path).name for file in files if file.action != "remove"]
    if wish.dry_run or wish.output is None or not names:
        return []
    if wish.keeper == "cron":
        file = shlex.quote(str(wish.output.absolute() / wish.name))
        return [f"(crontab -l; cat {file}) | crontab -" if wish.user else f"install -m 644 {file} {CRON_D}/"]
    place = "~/.config/systemd/user" if wish.user else str(SYSTEMD)
    manager = "systemctl --user" if wish.user else "systemctl"
    copied = f"cp {shlex.quote(str(wish.output.absolute()))}/{wish.name}* {place}/"
    return [copied, f"{manager} daemon-reload", f"{manager} enable --now {' '.join(units.enabled(names))}"]
