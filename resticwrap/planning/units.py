"""The schedule as units of systemd: a service and a timer for each job and a target over them, or one service that runs
the scheduler. Sources: systemd.service(5), systemd.timer(5), systemd.exec(5)."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from resticwrap.model.policy import ScheduledJob
from resticwrap.planning import outside
from resticwrap.planning.calendar import on_calendar
from resticwrap.planning.outside import STOP_SECONDS, Facts

READS = ("CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_CHOWN")
"""Read everybody's data, write into a folder of whomever, keep the time of last access, hand files over."""
RESTORES = (*READS, "CAP_FSETID", "CAP_SETFCAP", "CAP_MKNOD")
"""What bringing files back as they were takes besides."""
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))


def units(facts: Facts) -> dict[str, str]:
    """Each file by its name, as it should be."""
    found = {f"{facts.name}.target": _target(facts)}
    for name, job in facts.jobs.items():
        found[f"{facts.name}-{name}.service"] = _service(facts, name, job)
        found[f"{facts.name}-{name}.timer"] = _timer(facts, name, job)
    return {file: outside.marked(facts, body) for file, body in found.items()}


def daemon(facts: Facts) -> dict[str, str]:
    """One service that runs the scheduler, which starts the jobs."""
    words = (*facts.rw, "schedule", "run", "--policies", str(facts.policies))
    jobs = tuple(facts.jobs.values())
    lines = (
        *_unit("resticwrap: the scheduler", facts, jobs),
        "[Service]",
        "Type=exec",
        f"ExecStart={' '.join(map(_exec, words))}",
        *_environment(facts),
        "Restart=always",
        "RestartSec=10",
        *_manners(),
        *_confinement(facts, jobs),
        "",
        "[Install]",
        f"WantedBy={'default.target' if facts.user else 'multi-user.target'}",
    )
    return {f"{facts.name}.service": outside.marked(facts, _text(lines))}


def enabled(files: Iterable[str]) -> tuple[str, ...]:
    """Those units that are enabled and started by name: the services of timers are not."""
    names = tuple(files)
    return tuple(name for name in names if name.endswith((".target", ".timer"))) or names


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _target(facts: Facts) -> str:
    return _text(
        (
            "[Unit]",
            "Description=resticwrap: all jobs of the schedule",
            "",
            "[Install]",
            f"WantedBy={'default.target' if facts.user else 'timers.target'}",
        )
    )


def _timer(facts: Facts, name: str, job: ScheduledJob) -> str:
    when = (*(f"OnCalendar={one}" for one in on_calendar(job, facts.zone)), "Persistent=true")
    if len(when) == 1:
        assert job.every is not None  # a cron expression always has a calendar
        # From the start of the one before; a timer of this kind remembers nothing over a boot.
        when = ("OnActiveSec=1min", f"OnUnitActiveSec={int(job.every.total_seconds())}s")
    return _text(
        (
            "[Unit]",
            f"Description=resticwrap: when {name} runs",
            f"PartOf={facts.name}.target",
            "",
            "[Timer]",
            *when,
            "AccuracySec=1s",
            "RandomizedDelaySec=0",
            "",
            "[Install]",
            f"WantedBy={facts.name}.target",
        )
    )


def _service(facts: Facts, name: str, job: ScheduledJob) -> str:
    return _text(
        (
            *_unit(f"resticwrap: {outside.described(name, job)}", facts, (job,)),
            "[Service]",
            "Type=oneshot",
            f"ExecStart={' '.join(map(_exec, outside.command(facts, job)))}",
            *_environment(facts),
            f"TimeoutStartSec={outside.limit(job)}",
            *_manners(),
            *_confinement(facts, (job,)),
        )
    )


def _unit(description: str, facts: Facts, jobs: Sequence[ScheduledJob]) -> Iterator[str]:
    yield "[Unit]"
    yield f"Description={_escaped(description)}"
    if not facts.user:
        yield "Wants=network-online.target"
        yield "After=network-online.target"
        yield f"RequiresMountsFor={' '.join(_word(str(path)) for path in _written(facts, jobs))}"
    yield ""


def _environment(facts: Facts) -> Iterator[str]:
    for name, value in sorted(facts.environment.items()):
        yield f"Environment={_quoted(f'{name}={value}')}"
    for name, file in sorted(facts.credentials.items()):
        yield f"LoadCredential={name}:{_escaped(str(file))}"
        yield f"Environment={name}=%d/{name}"
    if facts.env_file is not None:
        yield f"EnvironmentFile={_escaped(str(facts.env_file))}"


def _manners() -> tuple[str, ...]:
    """How it is stopped, what counts as success, and how much it may be in the way of others."""
    return (
        # rw ends restic by itself; what is still there after that long is killed.
        "KillMode=mixed",
        "KillSignal=SIGINT",
        f"TimeoutStopSec={STOP_SECONDS}",
        # `systemctl stop` is no failure.
        "SuccessExitStatus=130",
        "Nice=10",
        "IOSchedulingClass=best-effort",
        "IOSchedulingPriority=7",
        "UMask=0077",
    )


def _written(facts: Facts, jobs: Sequence[ScheduledJob]) -> tuple[Path, ...]:
    local = (facts.targets[job.target] for job in jobs if job.target in facts.targets)
    return tuple(dict.fromkeys((*facts.writes, *local)))


def _confinement(facts: Facts, jobs: Sequence[ScheduledJob]) -> Iterator[str]:
    """What a job may do at all. A user's own systemd cannot confine without namespaces of users: there it is left."""
    yield "NoNewPrivileges=yes"
    if facts.user:
        return
    written = _written(facts, jobs)
    yield "ProtectSystem=strict"
    # One that is not there is for rw to complain of, in its own words.
    yield f"ReadWritePaths={' '.join(f'-{_word(str(path))}' for path in written)}"
    if read := [root for root in facts.roots if any(root.is_relative_to(one) and root != one for one in written)]:
        yield f"ReadOnlyPaths={' '.join(f'-{_word(str(path))}' for path in read)}"
    used = (*written, *facts.roots, facts.policies, Path(facts.rw[0]))
    if any(path.is_relative_to(temporary) for path in used for temporary in TEMPORARY):
        yield f"ReadWritePaths={' '.join(map(str, TEMPORARY))}"
    else:
        yield "PrivateTmp=yes"
    yield from ("ProtectClock=yes", "ProtectHostname=yes", "ProtectKernelLogs=yes", "ProtectKernelModules=yes")
    yield from ("RestrictRealtime=yes", "LockPersonality=yes", "SystemCallArchitectures=native")
    if facts.starts and any(job.level == "l3" for job in jobs):
        return  # it starts the restored system, and confines that itself, which takes namespaces and mounts
    restores = any(job.kind in ("verify", "drill") for job in jobs)
    yield f"CapabilityBoundingSet={' '.join(RESTORES if restores else READS)}"
    yield "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK"
    yield from ("RestrictNamespaces=yes", "ProtectKernelTunables=yes", "ProtectControlGroups=yes")
    if not restores:
        yield from ("PrivateDevices=yes", "RestrictSUIDSGID=yes")
    yield from ("SystemCallFilter=@system-service", "SystemCallErrorNumber=EPERM")


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """One word for systemd, whatever is in it."""
    return '"' + _escaped(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _word(text: str) -> str:
    """As `_quoted`, and only where that is needed."""
    plain = text.isascii() and all(char.isalnum() or char in "/._-+=:,@" for char in text)
    return text if plain and text else _quoted(text)


def _exec(text: str) -> str:
    """A word of a command line, where a dollar sign begins a variable."""
    return _word(text).replace("$", "$$")
