"""Where the policies lie, and what they say once they are read."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from resticwrap.errors import PolicyError, Problem, UsageError
from resticwrap.settings import crosscheck
from resticwrap.settings.crosscheck import ALERTS, DOMAINS, GATES, RECOVERY, SCHEDULE, TARGETS, TIERS
from resticwrap.settings.tree import Item, read
from resticwrap.settings.variables import Variables

if TYPE_CHECKING:
    from resticwrap.model.alerting import Alerts, AlertsFile
    from resticwrap.model.assurance import Gates, GatesFile, RecoveryFile
    from resticwrap.model.policy import (
        Domain,
        DomainsFile,
        Guard,
        LifecycleRule,
        PruneRule,
        ScheduleFile,
        Target,
        TargetsIndex,
        Tiers,
        TiersFile,
    )

FILES = (TARGETS, DOMAINS, TIERS, SCHEDULE, GATES, RECOVERY, ALERTS)
MAY_LACK = frozenset({GATES, RECOVERY, ALERTS})
"""Files without which everything has its default."""
ENVIRONMENT = "environment"
"""Stands in for the file where a variable itself is the problem."""


def find_folder(option: Path | None, env: Mapping[str, str]) -> Path:
    """`--policies`, `$RW_POLICIES`, `./policies`, `/etc/resticwrap/policies`: the first that is given or there.

    Raises UsageError where the folder that was asked for is none, or where none of these places is one.
    """
    asked = option if option is not None else Path(env["RW_POLICIES"]) if env.get("RW_POLICIES") else None
    places = [asked] if asked is not None else [Path("policies"), Path("/etc/resticwrap/policies")]
    for place in places:
        if place.is_dir():
            return place.absolute()
    looked = ", ".join(str(place.absolute()) for place in places)
    if asked is not None:
        by = "--policies" if option is not None else "RW_POLICIES"
        raise UsageError(f"There is no policies folder at {looked}, which {by} names.", hint="docs/policies.md")
    raise UsageError(f"There is no policies folder; looked at {looked}.", hint="--policies FOLDER, or set RW_POLICIES")


def _home(env: Mapping[str, str]) -> Path | None:
    if env.get("HOME"):
        return Path(env["HOME"])
    import pwd

    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return None


def _from_xdg(env: Mapping[str, str], variable: str, name: str) -> Path | None:
    """A folder below an XDG base directory; a relative one is to be ignored, says that standard."""
    base = env.get(variable, "")
    return Path(base) / name if base.startswith("/") else None


def state_dir(env: Mapping[str, str]) -> Path:
    """`$RW_STATE_DIR`, `$XDG_STATE_HOME/resticwrap`, `/var/lib/resticwrap` for root, `~/.local/state/resticwrap`."""
    if env.get("RW_STATE_DIR"):
        return Path(env["RW_STATE_DIR"]).absolute()
    if found := _from_xdg(env, "XDG_STATE_HOME", "resticwrap"):
        return found
    home = _home(env)
    if os.geteuid() == 0 or home is None:
        return Path("/var/lib/resticwrap")
    return home / ".local/state/resticwrap"


def cache_dir(env: Mapping[str, str]) -> Path:
    """restic's cache: `$RESTIC_CACHE_DIR`, `$XDG_CACHE_HOME/restic`, `~/.cache/restic`, else below `/var/cache`."""
    if env.get("RESTIC_CACHE_DIR"):
        return Path(env["RESTIC_CACHE_DIR"]).absolute()
    if found := _from_xdg(env, "XDG_CACHE_HOME", "restic"):
        return found
    if os.geteuid() == 0 and not env.get("HOME"):
        return Path("/var/cache/restic")
    home = _home(env)
    return home / ".cache/restic" if home is not None else Path("/var/cache/restic")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The policies of one folder, valid as far as they can be without using a target.

    A target is expanded and validated when it is asked for, so a variable that only another one needs may be missing.
    """

    folder: Path
    host: str
    formerly: tuple[str, ...] = ()
    domains: "Mapping[str, Domain]"
    tiers: "Tiers"
    guard: "Guard"
    prune: "PruneRule"
    lifecycle: "LifecycleRule"
    schedule: "ScheduleFile"
    gates: "Gates"
    recovery: "RecoveryFile"
    default_target: str | None
    target_names: tuple[str, ...]
    state_dir: Path
    cache_dir: Path
    env: Mapping[str, str] = field(repr=False)
    _targets: "_Targets" = field(repr=False, compare=False)
    _alerts: "_Alerts" = field(repr=False, compare=False)

    @property
    def alerts(self) -> "Alerts":
        """Raises PolicyError with the problems of `alerts.yaml`, which stop nothing but alerts: a backup goes on."""
        file, problems = self._alerts.get()
        if file is None or problems:
            raise PolicyError(problems)
        return file.alerts

    @property
    def problems_of_alerts(self) -> tuple[Problem, ...]:
        """What is wrong with `alerts.yaml`; nothing where it can be used."""
        return self._alerts.get()[1]

    def target(self, name: str | None = None) -> "Target":
        """A target by its name; else `BACKUP_TARGET_DEFAULT`, the default of `targets.yaml`, or the only one.

        Raises PolicyError with that target's problems, UsageError where there is no such target or no way to choose.
        """
        chosen = self.target_name(name)
        target, problems = self._targets.get(chosen)
        if target is None or problems:
            raise PolicyError(problems, hint=f"rw policy check --target {chosen}")
        return target

    def target_name(self, name: str | None = None) -> str:
        """Which target is meant. Raises UsageError."""
        names = ", ".join(self.target_names)
        if name is not None:
            if name not in self.target_names:
                raise UsageError(f"There is no target {name!r}.", hint=f"the targets are: {names}")
            return name
        if chosen := self.env.get("BACKUP_TARGET_DEFAULT"):
            if chosen not in self.target_names:
                raise UsageError("BACKUP_TARGET_DEFAULT names no target.", hint=f"the targets are: {names}")
            return chosen
        if self.default_target is not None:
            return self.default_target
        if len(self.target_names) == 1:
            return self.target_names[0]
        raise UsageError("No target is named.", hint=f"--target NAME, or set BACKUP_TARGET_DEFAULT, to one of: {names}")

    def problems_of_target(self, name: str) -> tuple[Problem, ...]:
        """What is wrong with a target; nothing where it can be used. Raises UsageError for an unknown one."""
        return self._targets.get(self.target_name(name))[1]

    @property
    def hosts(self) -> frozenset[str]:
        """The names by which snapshots are this machine's."""
        return frozenset({self.host, *self.formerly})

    def catalog_url(self) -> str | None:
        """What RW_CATALOG_URL says, or the file that RW_CATALOG_URL_FILE names; None: the catalogue is a file of the
        state directory. Raises UsageError, never with what stands there."""
        try:
            return Variables(self.env, {}).value("RW_CATALOG_URL")
        except ValueError as error:
            raise UsageError(f"The address of the catalogue: {error}.", hint="ls -l $RW_CATALOG_URL_FILE") from None

    def select_domains(self, names: Sequence[str] = ()) -> "dict[str, Domain]":
        """These domains, in the order of the policies; all where none is named. Raises UsageError for unknown ones."""
        if unknown := [name for name in names if name not in self.domains]:
            what = f"There is no domain {', '.join(map(repr, dict.fromkeys(unknown)))}."
            raise UsageError(what, hint=f"the domains are: {', '.join(self.domains)}")
        return {name: domain for name, domain in self.domains.items() if not names or name in names}


class _Targets:
    """Targets that are looked at when asked for, once each."""

    def __init__(self, items: Mapping[str, Item], domains: "Mapping[str, Domain]", variables: Variables) -> None:
        self.items = items
        self._domains = domains
        self._variables = variables
        self._known: dict[str, tuple[Target | None, tuple[Problem, ...]]] = {}

    def get(self, name: str) -> "tuple[Target | None, tuple[Problem, ...]]":
        from resticwrap.settings.validate import validate_target

        if name not in self._known:
            target, problems = validate_target(TARGETS, self.items[name], name, self._variables)
            if target is not None:
                problems += crosscheck.local_target(name, target, self.items[name], self._domains)
            self._known[name] = (target, tuple(problems))
        return self._known[name]


class _Alerts:
    """`alerts.yaml`, which is looked at when it is asked for: most commands have no use for it, and its mistakes stop
    none of them. `unread`: why it could not be read."""

    def __init__(
        self, tree: Item | None, unread: Sequence[Problem], schedule: "ScheduleFile | None", variables: Variables
    ) -> None:
        self._tree, self._unread, self._schedule, self._variables = tree, unread, schedule, variables
        self._known: tuple[AlertsFile | None, tuple[Problem, ...]] | None = None

    def get(self) -> "tuple[AlertsFile | None, tuple[Problem, ...]]":
        if self._known is None:
            self._known = self._look()
        return self._known

    def _look(self) -> "tuple[AlertsFile | None, tuple[Problem, ...]]":
        from resticwrap.model.alerting import AlertsFile
        from resticwrap.settings.validate import validate

        if self._unread:
            return None, tuple(self._unread)
        if self._tree is None:
            return AlertsFile(), ()
        file, problems = validate(AlertsFile, ALERTS, self._tree, (), self._variables)
        if file is not None:
            scheduled = tuple(self._schedule.jobs) if self._schedule is not None else None
            problems += crosscheck.alerts(file, self._tree, scheduled)
        return file, tuple(_sorted(problems))


@dataclass(kw_only=True, repr=False)
class _Draft:
    """What could be read, and every problem that does not belong to one target alone."""

    problems: list[Problem]
    targets: _Targets | None = None
    index: "TargetsIndex | None" = None
    domains: "DomainsFile | None" = None
    tiers: "TiersFile | None" = None
    schedule: "ScheduleFile | None" = None
    gates: "GatesFile | None" = None
    recovery: "RecoveryFile | None" = None
    alerts: "_Alerts | None" = None


def load(folder: Path, env: Mapping[str, str], target: str | None = None) -> Settings:
    """Read the policies of a folder. Raises PolicyError with all their problems, and then those of the target that is
    to be used as well; a target's alone are told when it is asked for."""
    env = MappingProxyType(dict(env))
    draft = _read(folder, env)
    if draft.problems:
        wanted = target or env.get("BACKUP_TARGET_DEFAULT") or (draft.index.default if draft.index else None)
        known = draft.targets if draft.targets is not None and wanted in draft.targets.items else None
        raise PolicyError(_sorted([*draft.problems, *(known.get(wanted)[1] if known and wanted else ())]))
    assert draft.targets and draft.index and draft.domains and draft.tiers and draft.schedule
    assert draft.gates and draft.recovery and draft.alerts
    return Settings(
        folder=folder.absolute(),
        host=draft.domains.host,
        formerly=draft.domains.formerly,
        domains=draft.domains.domains,
        tiers=draft.tiers.tiers,
        guard=draft.tiers.guard,
        prune=draft.tiers.prune,
        lifecycle=draft.tiers.lifecycle,
        schedule=crosscheck.resolved(draft.schedule, draft.domains.domains),
        gates=draft.gates.gates,
        recovery=draft.recovery,
        default_target=draft.index.default,
        target_names=tuple(draft.index.targets),
        state_dir=state_dir(env),
        cache_dir=cache_dir(env),
        env=env,
        _targets=draft.targets,
        _alerts=draft.alerts,
    )


def check(folder: Path, env: Mapping[str, str], targets: Sequence[str] | None = None) -> list[Problem]:
    """Every problem of the policies and of these targets. Raises UsageError for an unknown one.

    None looks at all of them; where nothing names one, neither as the default nor in a job that is enabled, it is no
    problem that its variables are not set.
    """
    draft = _read(folder, env)
    problems = [*draft.problems, *(draft.alerts.get()[1] if draft.alerts is not None else ())]
    used = set(targets or ())
    if draft.index is not None and draft.index.default is not None:
        used.add(draft.index.default)
    if draft.schedule is not None:
        used |= {job.target for job in draft.schedule.jobs.values() if job.enabled}
    if draft.targets is not None:
        known = draft.targets.items
        if unknown := [name for name in targets or () if name not in known]:
            raise UsageError(f"There is no target {unknown[0]!r}.", hint=f"the targets are: {', '.join(known)}")
        for name in known if targets is None else dict.fromkeys(targets):
            problems += [one for one in draft.targets.get(name)[1] if name in used or not one.unset]
    return _sorted(problems)


def _sorted(problems: Sequence[Problem]) -> list[Problem]:
    order = {file: at for at, file in enumerate(FILES)}
    return sorted(dict.fromkeys(problems), key=lambda problem: (order.get(problem.file, -1), problem.line))


def _read(folder: Path, env: Mapping[str, str]) -> _Draft:
    """Read all files; what one lacks does not keep the others from being looked at."""
    from resticwrap.model.assurance import GatesFile, RecoveryFile
    from resticwrap.model.policy import DomainsFile, ScheduleFile, TargetsIndex, TiersFile
    from resticwrap.settings.validate import validate

    draft = _Draft(problems=_environment(env))
    if not folder.is_dir():
        draft.problems.append(
            Problem(str(folder), 0, "(the folder)", "is not there; `--policies` or RW_POLICIES names it")
        )
        return draft
    # The root of `rw`'s own state is the state directory, wherever that is on this machine.
    variables = Variables(env, {"RW_STATE_DIR": str(state_dir(env))})
    trees: dict[str, Item] = {}
    unread: list[Problem] = []
    for file in FILES:
        if file in MAY_LACK and not os.path.lexists(folder / file):
            continue
        tree, problems = read(folder, file)
        into = unread if file == ALERTS else draft.problems
        into += problems
        if tree is not None and tree.value is None:
            into.append(Problem(file, 1, "(the file)", "is empty"))
        elif tree is not None:
            trees[file] = tree
    if tree := trees.get(DOMAINS):
        draft.domains, problems = validate(DomainsFile, DOMAINS, tree, (), variables)
        draft.problems += problems
    if tree := trees.get(TIERS):
        draft.tiers, problems = validate(TiersFile, TIERS, tree, (), variables)
        draft.problems += problems
    if tree := trees.get(SCHEDULE):
        draft.schedule, problems = validate(ScheduleFile, SCHEDULE, tree, (), variables)
        draft.problems += problems
    draft.gates, draft.recovery = GatesFile(), RecoveryFile()
    if tree := trees.get(GATES):
        draft.gates, problems = validate(GatesFile, GATES, tree, (), variables)
        draft.problems += problems
    if tree := trees.get(RECOVERY):
        draft.recovery, problems = validate(RecoveryFile, RECOVERY, tree, (), variables)
        draft.problems += problems
    if tree := trees.get(TARGETS):
        names, outline = _outline(tree)
        draft.index, problems = validate(TargetsIndex, TARGETS, outline, (), variables)
        draft.problems += problems
        draft.targets = _Targets(names, draft.domains.domains if draft.domains else {}, variables)
    draft.alerts = _Alerts(trees.get(ALERTS), unread, draft.schedule, variables)
    draft.problems = _sorted([*draft.problems, *_across(draft, trees)])
    return draft


def _outline(tree: Item) -> tuple[Mapping[str, Item], Item]:
    """The targets of `targets.yaml` by name, and the file with nothing inside them."""
    targets = tree.value.get("targets") if isinstance(tree.value, dict) else None
    if targets is None or not isinstance(targets.value, dict) or not isinstance(tree.value, dict):
        return {}, tree
    hollow = Item(targets.line, {name: Item(item.line, {}) for name, item in targets.value.items()})
    return targets.value, Item(tree.line, {**tree.value, "targets": hollow})


def _environment(env: Mapping[str, str]) -> list[Problem]:
    if env.get("BACKUP_SINGLE_TARGET_ENFORCED") in (None, "", "1"):
        return []
    wrong = "must be 1 or not set: a job works on exactly one target, and nothing turns that off"
    return [Problem(ENVIRONMENT, 0, "BACKUP_SINGLE_TARGET_ENFORCED", wrong)]


def _across(draft: _Draft, trees: Mapping[str, Item]) -> list[Problem]:
    problems: list[Problem] = []
    if draft.index is not None:
        problems += crosscheck.default_target(draft.index, trees[TARGETS])
    if draft.domains is not None:
        problems += crosscheck.roots(draft.domains, trees[DOMAINS])
        if draft.tiers is not None:
            problems += crosscheck.retention(draft.domains, draft.tiers, trees[DOMAINS])
    if draft.schedule is not None:
        targets = tuple(draft.index.targets) if draft.index is not None else None
        domains = tuple(draft.domains.domains) if draft.domains is not None else None
        problems += crosscheck.jobs(draft.schedule, trees[SCHEDULE], targets, domains)
    return problems
