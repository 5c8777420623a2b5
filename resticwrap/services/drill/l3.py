"""L3: the whole system, rehearsed as after a disaster: from a recovery kit alone, into a scratch place, with a state
directory, a cache and secrets of its own there.

Nothing of the live installation is read but what the kit is made of, and nothing is written outside of the scratch
place: not into the target either, but for restic's own lock while it restores. What cannot be kept apart is refused.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from resticwrap import errors
from resticwrap.model.base import from_json, to_json
from resticwrap.model.kit import Kit, SystemReport, drilled
from resticwrap.model.policy import roots_of
from resticwrap.planning import system as planning
from resticwrap.services import kit as kits
from resticwrap.services import restoreplace, system
from resticwrap.services.context import Context
from resticwrap.services.drill import place as places
from resticwrap.services.drill.frame import Begun, Rehearsal

NAMED = 5

OF_THE_LIVE_ONE = ("RW_STATE_DIR", "RW_CATALOG_URL", "RW_CATALOG_URL_FILE", "RW_POLICIES", "DOCKER_HOST")


def work(context: Context, domains: tuple[str, ...] = (), *, start: bool = True) -> Callable[[Begun], Rehearsal]:
    """The work of an L3 drill, for the frame. Raises RestoreRefused where something cannot be kept apart."""

    def rehearse(begun: Begun) -> Rehearsal:
        folder = begun.place.folder
        _refuse(context, folder)
        kit = _handed_over(context)

        @contextmanager
        def elsewhere(kit: Kit, root: Path) -> Iterator[Context]:
            with context.recovery.elsewhere(kit, root) as there:
                refuse_live(context, there, root)
                yield there

        wanted = system.Wanted(
            declared=begun.declared_at, domains=domains, start=start, confined=True, room=begun.place.room
        )
        return _told(context, system.restore(kit, folder, wanted, elsewhere, context.clock, begun.watch), begun)

    return rehearse


def _handed_over(context: Context) -> Kit:
    """A kit as it comes out of its seal: what the seal loses, the rehearsal lacks."""
    sealing, passphrase = context.recovery.sealing(), secrets.token_urlsafe(24)
    return from_json(Kit, sealing.open(sealing.seal(to_json(kits.gather(context)), passphrase), passphrase))


def _refuse(context: Context, folder: Path) -> None:
    """Raises RestoreRefused where the scratch place and what lives are not apart."""
    settings = context.settings
    living: dict[str, Path] = {f"the live data of {name}": root for name, root in roots_of(settings.domains).items()}
    living["the policies"] = settings.folder
    living |= {f"what rw itself lives on ({path.name})": path for path in restoreplace.own_places(context)}
    if met := planning.overlap(folder, living):
        raise errors.RestoreRefused(
            f"The scratch place {folder} cannot be kept apart from {met}.", hint="Give another folder with --scratch."
        )
    if told := _points_at(context, settings.recovery.system.environment):
        raise errors.RestoreRefused(
            f"The variable {told} of recovery.yaml points the restored system at the live one.",
            hint="Take it out of system.environment, or give it a value below RW_SYSTEM_ROOT.",
        )


def _points_at(context: Context, environment: Mapping[str, str]) -> str:
    """The name of a variable that leads to live state, a live catalogue or live data; empty where none does."""
    settings = context.settings
    live = {str(settings.state_dir), *map(str, roots_of(settings.domains).values())}
    live |= {url for url in (settings.catalog_url(),) if url}
    for name, value in environment.items():
        if name in OF_THE_LIVE_ONE or any(p in value for p in live):
            return name
    return ""


def refuse_live(context: Context, there: Context, root: Path) -> None:
    """Raises RestoreRefused where the scratch installation would use anything of the live one."""
    own = {"state directory": there.settings.state_dir, "cache": there.settings.cache_dir}
    for what, path in own.items():
        if not places.inside(path, root):
            raise errors.RestoreRefused(f"The drill's {what} would be {path}, outside of its place.")
    if there.settings.catalog_url():
        raise errors.RestoreRefused("The drill would write into the catalogue that RW_CATALOG_URL names.")
    if there.settings.state_dir == context.settings.state_dir:
        raise errors.RestoreRefused("The drill's state directory is the live one.")


def _told(context: Context, report: SystemReport, begun: Begun) -> Rehearsal:
    """The restored system as a drill records it: names of files stay in the notes, which stay here."""
    domains, notes, failures = [], list(report.notes), list(report.failures)
    for one in report.domains:
        policy = context.settings.domains[one.domain]
        plain = one.failures
        found = drilled(one, begun.declared_at, policy.rpo.total_seconds(), policy.rto.total_seconds())
        if plain:
            notes += [f"{one.domain}: {why}" for why in plain[:NAMED]]
            said = f"{len(plain)} of its paths did not come back as they were backed up"
        elif not one.whole:
            said = "no manifest tells of a complete look at it"
            failures.append(f"{one.domain}: {said}.")
        else:
            said = ""
        of_load = one.loaded.failures if one.loaded else ()
        domains.append(msgspec.structs.replace(found, failures=(*([said] if said else []), *of_load)))
    failures += [f"{name} has no snapshot to restore." for name in report.missing]
    if context.settings.recovery.system.health is None:
        notes.append("recovery.yaml has no health command, so this drill proves the data and not that it runs.")
    if report.core_seconds is not None:
        notes.append(f"The core was back after {report.core_seconds:.0f} s.")
    looks = [one.source_time for one in report.domains if one.source_time]
    return Rehearsal(
        domains=tuple(domains),
        failures=tuple(failures),
        spread=(max(looks) - min(looks)).total_seconds() if looks else 0.0,
        notes=tuple(notes),
        proven=tuple(one.snapshot for one in report.domains if one.ok and one.tier == begun.details.tier),
    )
