"""Whether files of secrets are open to people who should not read them: by mode, by folder, by git."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from resticwrap.model.policy import Domain
from resticwrap.model.reports import Check
from resticwrap.model.sources import FilesSource, SecretsSource
from resticwrap.services.doctor import ok
from resticwrap.services.outside_facts import SECRET
from resticwrap.settings import Settings
from resticwrap.settings.crosscheck import excluded
from resticwrap.settings.used import named

Tracker = Callable[[Path], Path | None]
"""The git working tree that tracks a file. Raises what keeps it from being known."""
CONTAINERS = Path("/run/secrets")
"""Where Docker puts secrets into a container, for all of it to read."""
EXAMPLES = (".example", ".sample", ".template", ".dist")
"""How the names of files end that are made to be published."""


def files_of(domains: Mapping[str, Domain]) -> dict[Path, str]:
    """The files of all domains of secrets, each with what it is."""
    return {
        domain.source.root / file: f"of domain {name}"
        for name, domain in domains.items()
        if isinstance(domain.source, SecretsSource)
        for file in domain.source.files
    }


def elsewhere(domains: Mapping[str, Domain]) -> list[Check]:
    """A warning for each file of secrets that a domain of files backs up too: there it ages and is listed as any."""
    return [
        Check(
            name="secrets",
            verdict="warn",
            detail=f"{path} ({what}) is in the backups of domain {name} as well",
            hint=f"excludes: [{path}] for {name} in domains.yaml",
        )
        for path, what in files_of(domains).items()
        for name, domain in domains.items()
        if isinstance(domain.source, FilesSource) and path.is_relative_to(domain.source.root)
        if not excluded(path, domain.source.root, domain.excludes)
    ]


def named_by(read: Settings) -> list[Path]:
    """The files that hold the values of secret variables here."""
    names = named(read.folder)
    secret = (names.all - names.plain) | SECRET
    return [Path(value) for name, value in read.env.items() if name.removesuffix("_FILE") in secret and "_FILE" in name]


def beside(policies: Path, known: Sequence[Path]) -> dict[Path, str]:
    """Files of variables in the folder of the policies or beside it, and those `known` by variables and policies."""
    found = dict.fromkeys(known, "named by the policies or the environment")
    for folder in (policies, policies.parent):
        for path in sorted(folder.glob(".env*")):
            if path.is_file() and not path.name.endswith(EXAMPLES):
                found.setdefault(path, "beside the policies")
    return found


def check(files: Mapping[Path, str], tracker: Tracker) -> list[Check]:
    """A warning for each way in which one of these is open to others."""
    there = {path: what for path, what in files.items() if os.path.isfile(path) and CONTAINERS not in path.parents}
    checks = [
        Check(name="secrets", verdict="warn", detail=f"{path} ({what}) {why}", hint=hint)
        for path, what in there.items()
        for why, hint in _wrong(path, tracker)
    ]
    return checks or [ok("secrets", f"{len(there)} files of secrets are private, and git tracks none of them")]


def _wrong(path: Path, tracker: Tracker) -> Iterator[tuple[str, str]]:
    mode, folders = path.stat().st_mode, [(folder, folder.stat().st_mode) for folder in path.resolve().parents]
    if mode & 0o006 and all(above & 0o001 for _, above in folders):
        yield f"may be {_verbs(mode)} by everybody (mode {stat.S_IMODE(mode):o})", f"chmod o= {path}"
    for folder, above in folders:
        if above & 0o002 and not above & stat.S_ISVTX:
            yield f"lies in {folder}, where everybody may put another in its place", f"chmod o-w {folder}"
    try:
        tree = tracker(path)
    except (OSError, ValueError) as error:
        yield (
            f"may be tracked by git, whose index cannot be read here: {error}",
            f"git -C {path.parent} ls-files -- {path.name}   (it should print nothing)",
        )
    else:
        if tree is not None:
            yield (
                f"is tracked by git in {tree}",
                (
                    f"git -C {tree} rm --cached {path.resolve().relative_to(tree)}   "
                    "(add it to .gitignore, and change what is in it: the history still has it)"
                ),
            )


def _verbs(mode: int) -> str:
    return " and ".join(word for bit, word in ((0o004, "read"), (0o002, "written")) if mode & bit)
