"""`rw doctor`."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import run
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.policy import Domain
    from resticwrap.model.reports import Check, DoctorReport
    from resticwrap.services.doctor import Question


@click.command(
    epilog=epilog(
        "rw doctor --target s3",
        "0 1 2",
        code_0="nothing failed",
        code_1="something failed",
    )
)
@common
def command(common: Common) -> None:
    """Check this machine and a target; say for each failure what to do.

    restic's version, credentials, clock, space, permissions, sources, whether files of secrets are open to others or
    tracked by git, whether databases answer, may be read whole and can be loaded in drills, whether the target answers,
    holds the pinned repositories, is not on the disk of what it protects, whether locks were left behind, whether the
    last recovery kit still opens what it should, and whether the bucket has lifecycle rules that would delete or freeze
    what lies there.
    """
    from resticwrap.report import text

    def code(report: "DoctorReport") -> int:
        return errors.OK if report.ok else errors.FAILED

    run(common, lambda house: examine(house, common.domains), text.doctor, code)


def examine(house: "House", domains: tuple[str, ...]) -> "DoctorReport":
    """Ask all questions about one target."""
    from resticwrap.services import doctor

    return doctor.examine(house.target_name, questions(house, domains))


def questions(house: "House", domains: tuple[str, ...]) -> "list[Question]":
    """What is asked, in the order in which it makes sense to mend it."""
    return [*of_machine(house, domains), *of_target(house, domains)]


def of_machine(house: "House", domains: tuple[str, ...]) -> "list[Question]":
    """Questions that the target need not answer."""
    from resticwrap.host import space
    from resticwrap.host.journals import FileJournals
    from resticwrap.model.policy import LocalTarget
    from resticwrap.restic.install import dotted, restic_version
    from resticwrap.services import doctor

    read = house.settings
    wanted = read.select_domains(domains)

    def restic() -> "Iterable[Check]":
        return [doctor.ok("restic", f"{dotted(restic_version(house.binary))} at {house.binary}")]

    def policies() -> "Iterable[Check]":
        where = f"{read.folder}: target {house.target_name} ({house.target.provider}), {len(wanted)} domains"
        return [doctor.ok("policies", where)]

    def room() -> "Iterable[Check]":
        places = {"state": read.state_dir, "cache": read.cache_dir}
        if isinstance(house.target, LocalTarget):
            places["target"] = house.target.path
        return doctor.space({what: (path, space.free_bytes(path)) for what, path in places.items()})

    def records() -> "Iterable[Check]":
        known = house.records.known()
        known.jobs(house.target_name, limit=1)
        theirs = known.time()
        where = "on its server answers" if theirs else "answers"
        answer = where if known.present else "is not there yet; the first job makes it"
        clock = doctor.server_clock(house.clock.now(), theirs)
        return [doctor.private("state", read.state_dir), doctor.ok("catalogue", answer), *clock]

    def secrets() -> "Iterable[Check]":
        from resticwrap.host import gitindex
        from resticwrap.services import secretcheck

        named = [*secretcheck.named_by(read), *([house.password.file] if house.password.file else [])]
        files = {**secretcheck.beside(read.folder, named), **secretcheck.files_of(wanted)}
        return [*secretcheck.check(files, gitindex.tracker), *secretcheck.elsewhere(read.domains)]

    def kept() -> "Iterable[Check]":
        waiting = [written.job_id for written in house.state.kept(house.target_name)]
        return [
            *doctor.kept_trees(FileJournals(read.state_dir).all()),
            *doctor.kept_databases(house.database_journals.all()),
            *doctor.kept_manifests(waiting),
        ]

    return [
        ("policies", policies),
        ("restic", restic),
        ("state", records),
        ("space", room),
        ("sources", lambda: doctor.sources(wanted)),
        ("secrets", secrets),
        ("left over", kept),
        *databases(house, domains),
    ]


def databases(house: "House", domains: tuple[str, ...]) -> "Iterable[Question]":
    """A question for each domain that is a database, so that one which does not answer keeps no other out."""

    def asked(name: str, domain: "Domain") -> "Iterable[Check]":
        from resticwrap.sources import examine

        engine = house.context.engines(name, domain)
        return examine.examined(name, domain, engine) if engine is not None else ()

    for name, domain in house.settings.select_domains(domains).items():
        if domain.is_database:
            yield f"database: {name}", partial(asked, name, domain)


def of_target(house: "House", domains: tuple[str, ...]) -> "list[Question]":
    """Questions about the target and the way to it."""
    from resticwrap.host import space
    from resticwrap.model.policy import LocalTarget
    from resticwrap.services import doctor

    def credentials() -> "Iterable[Check]":
        house.store.restic_access()
        house.store.probe()
        return [doctor.ok("target", f"{house.target_name} ({house.target.provider}) answers and lets us in")]

    def disk() -> "Iterable[Check]":
        if not isinstance(house.target, LocalTarget):
            return []
        return doctor.other_disk(house.target.path, house.settings.select_domains(domains), space.device)

    def clock() -> "Iterable[Check]":
        theirs = house.store.time()
        return [doctor.clock(house.clock.now(), theirs)]

    def password() -> "Iterable[Check]":
        house.password()
        file = house.password.file
        return [doctor.private("password", file) if file else doctor.ok("password", "from a command or a variable")]

    def repositories() -> "Iterable[Check]":
        for tier, pin in house.context.pins().items():
            house.context.check_pin(tier)
            if house.context.repositories[tier].config().repository_id != pin.repository_id:
                raise errors.OtherRepository(f"The {tier} repository is another one than was pinned.")
            yield doctor.ok(f"repository {tier}", f"{pin.repository_id[:8]} is the pinned one and opens")

    def recovery() -> "Iterable[Check]":
        from resticwrap.services import kit

        return [doctor.recovery_kit(kit.examined(house.context), house.target_name)]

    def locks() -> "Iterable[Check]":
        found = [lock for tier in house.context.pins() for lock in house.context.repositories[tier].locks()]
        now = house.clock.now()
        return doctor.locks(found, now, house.store.time() or now if found else now, house.target_name)

    def names() -> "Iterable[Check]":
        from resticwrap.planning.owners import name_taken
        from resticwrap.services import owners

        wanted = list(house.settings.select_domains(domains))
        taken = owners.taken(house.context, wanted)
        why = {name: name_taken(name, house.target_name, by, house.settings.host) for name, by in taken.items()}
        return doctor.names(why, len(wanted))

    def rules() -> "Iterable[Check]":
        from resticwrap.services import lifecycle

        return lifecycle.check(house.context)

    return [
        ("target", credentials),
        ("disk", disk),
        ("clock", clock),
        ("password", password),
        ("repositories", repositories),
        ("names", names),
        ("locks", locks),
        ("recovery kit", recovery),
        ("lifecycle rules", rules),
    ]
