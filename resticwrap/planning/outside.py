"""What systemd and cron must know of a schedule and of this machine, and whose a file is that lies there already."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote

from resticwrap.model.outside import FileAction, OutsideFile
from resticwrap.model.policy import ScheduledJob
from resticwrap.planning import schedule

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STOP_SECONDS = 90
"""How long rw may take to end restic cleanly before everything is killed."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """`name` is what all our files are called after, `rw` the words that call it. `environment` holds no secret;
    `credentials` are the files of variables that end with `_FILE`. `targets` are the folders of local targets, `roots`
    the data. `starts`: the policy starts the restored system in an L3 drill."""

    name: str
    rw: tuple[str, ...]
    policies: Path
    environment: Mapping[str, str]
    env_file: Path | None = None
    credentials: Mapping[str, Path] = field(default_factory=dict)
    writes: tuple[Path, ...] = ()
    targets: Mapping[str, Path] = field(default_factory=dict)
    roots: tuple[Path, ...] = ()
    zone: str = "UTC"
    user: bool = False
    starts: bool = False
    jobs: Mapping[str, ScheduledJob] = field(default_factory=dict)


def arguments(job: ScheduledJob) -> tuple[str, ...]:
    """What `rw` is called with for a job of the schedule."""
    words = {
        "backup": ("backup", "--type", str(job.type)),
        "verify": ("verify",),
        "copy": ("tier", "run"),
        "forget": ("forget",),
        "prune": ("prune",),
        "drill": ("drill", str(job.level), "--scheduled"),
    }[job.kind]
    named = tuple(word for domain in job.domains for word in ("--domain", domain))
    return (*words, "--target", job.target, *named)


def command(facts: Facts, job: ScheduledJob) -> tuple[str, ...]:
    """The words that systemd or cron run. `--quiet` says only what went wrong."""
    return (*facts.rw, *arguments(job), "--policies", str(facts.policies), "--quiet")


def limit(job: ScheduledJob) -> int:
    """Seconds after which a run is stopped: the same as under the scheduler."""
    return int(schedule.limit(job).total_seconds())


def described(name: str, job: ScheduledJob) -> str:
    """A job in one line."""
    what = {"backup": f"{job.type} backup", "drill": f"{job.level} drill"}.get(job.kind, job.kind)
    return f"{name}: {what} of {job.named or 'all domains'}, target {job.target}"


TITLE = "# Written by `rw schedule install` out of the policies, which are what to change."
HEAD = re.compile(r"# resticwrap: name=(\S+) policies=(\S+) sha256=([0-9a-f]{64})\n")
Whose = Literal["ours", "edited", "other", "nobody"]
REFUSED = {
    "edited": "was changed by hand",
    "other": "was written for other policies",
    "nobody": "was not written by rw",
}
"""Why a file that is not quite ours is not written over."""


def marked(facts: Facts, body: str) -> str:
    """A file of ours: its head says whose it is, and remembers what we wrote."""
    owner = f"name={facts.name} policies={quote(str(facts.policies))}"
    return f"{TITLE}\n# resticwrap: {owner} sha256={_digest(owner, body)}\n{body}"


def whose(text: str, name: str, policies: Path) -> Whose:
    """Whether a file is as we wrote it, was changed since, or was written by somebody else."""
    title, _, rest = text.partition("\n")
    head = HEAD.match(rest)
    if title != TITLE or head is None:
        return "nobody"
    if (head[1], head[2]) != (name, quote(str(policies))):
        return "other"
    return "ours" if head[3] == _digest(f"name={head[1]} policies={head[2]}", rest[head.end() :]) else "edited"


def _digest(owner: str, body: str) -> str:
    import hashlib

    return hashlib.sha256(f"{owner}\n{body}".encode("utf-8", "surrogateescape")).hexdigest()


class Changes(NamedTuple):
    """What becomes of each file, and which are not ours to touch, with the reason."""

    files: tuple[OutsideFile, ...]
    refused: tuple[str, ...]


def changes(wanted: Mapping[str, str], there: Mapping[str, str], name: str, policies: Path, *, force: bool) -> Changes:
    """From what is there to what is wanted, both by path. What somebody else wrote and we do not want is left alone,
    whatever `force` says."""
    files: list[OutsideFile] = []
    refused = []
    for path in sorted({*wanted, *there}):
        before, after = there.get(path), wanted.get(path)
        of = whose(before, name, policies) if before is not None else "ours"
        if after is None and of in ("nobody", "other"):
            continue
        if before == after:
            files.append(OutsideFile(path=path, action="keep", content=after or ""))
            continue
        if of != "ours" and not force:
            refused.append(f"{path} {REFUSED[of]}")
        action: FileAction = "add" if before is None else "remove" if after is None else "change"
        changed = diff(path, before or "", after or "")
        files.append(OutsideFile(path=path, action=action, content=after or "", diff=changed))
    return Changes(tuple(files), tuple(refused))


def diff(path: str, before: str, after: str) -> str:
    """What changes, as `diff -u` shows it."""
    from difflib import unified_diff

    old, new = (path if before else "/dev/null"), (path if after else "/dev/null")
    lines = unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm="")
    return "".join(f"{line}\n" for line in lines)


PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@%+=,-]*")
QUOTED = re.compile(r"'([^'\\]*)'|\"([^\"\\$`]*)\"")


class Misread(ValueError):
    """A line that a shell and systemd do not read alike; its number, never what stands in it."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


def variables(text: str) -> dict[str, str]:
    """What a file of `NAME=value` lines sets, be it read by a shell or as systemd's EnvironmentFile. Raises Misread."""
    return dict(_assignments(text))


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        quoted = QUOTED.fullmatch(value)
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise Misread(number)
        if quoted is None and not PLAIN_VALUE.fullmatch(value):
            raise Misread(number)
        yield name, value if quoted is None else quoted[1] if quoted[1] is not None else quoted[2]
