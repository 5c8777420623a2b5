"""`rw kit`."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resticwrap import errors
from resticwrap.cli.edge import TIME, guarded, run, show, signals, watcher_of
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House
    from resticwrap.model.kit import Kit, KitReport, SystemReport
    from resticwrap.model.thaw import ThawPlan
    from resticwrap.services.context import Context
    from resticwrap.services.system import Wanted

VARIABLE = "RW_KIT_PASSPHRASE_FILE"
PASSPHRASE = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"A file that holds the passphrase [default: ${VARIABLE}, the policy's, else it is asked for].",
)


@click.group()
def group() -> None:
    """The recovery kit: one encrypted file that opens everything on an empty machine."""


@group.command(
    epilog=epilog(
        "rw kit export --out /media/usb/teaching.kit\nrw kit export --generate",
        "0 1 2 10 12 20 22 130",
        code_20="the kit does not open as it was written",
    )
)
@common
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="[default: ./TARGET.kit]")
@PASSPHRASE
@click.option("--generate", is_flag=True, help="Make a passphrase and print it, once, at the terminal.")
@click.option("--force", is_flag=True, help="Write over a kit that is there.")
@click.option("--dry-run", is_flag=True, help="Show what the kit would hold; write nothing.")
def export(
    common: Common,
    out: Path | None,
    passphrase_file: Path | None,
    generate: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Write the recovery kit, encrypted with a passphrase, and beside it FILE.txt, the page of steps to print.

    The kit holds the policies, the values of their variables, the repositories' password and ids, the storage
    credentials (or where they are), files of secrets that the policy wants in it, and the newest evidence. It is opened
    again and compared before it counts.
    """
    from resticwrap.report import text
    from resticwrap.services import kit as service

    if generate and (passphrase_file or not sys.stderr.isatty()):
        raise click.UsageError("--generate prints the passphrase, so it needs a terminal, and no --passphrase-file.")

    def work(house: "House") -> "KitReport":
        file = (out or Path(f"{house.target_name}.kit")).absolute()
        if dry_run:
            return service.plan(house.context, file)
        if generate:
            phrase = service.generate()
            click.echo(f"The passphrase, which is shown this once:  {phrase}", err=True)
        else:
            phrase = passphrase(
                passphrase_file, house.settings.env, house.settings.recovery.kit.passphrase_file, twice=True
            )
        return service.export(house.context, file, phrase, force=force)

    run(common, work, text.kit, whole=True)


@group.command(name="show", epilog=epilog("rw kit show /media/usb/teaching.kit", "0 1 2 12 20"))
@common
@click.argument("file", type=click.Path(path_type=Path))
@PASSPHRASE
def show_kit(common: Common, file: Path, passphrase_file: Path | None) -> None:
    """Show what is in a kit, without its secrets. Needs no policies and asks no target."""
    from resticwrap.bootstrap import sealing
    from resticwrap.report import text
    from resticwrap.services import kit as service

    with guarded(common):
        phrase = passphrase(passphrase_file, os.environ)
        show(common, service.show(sealing(), file.absolute(), phrase), text.kit)


@group.command(epilog=epilog("rw kit secrets teaching.kit --to /root/secrets", "0 1 2 12 20"))
@common
@click.argument("file", type=click.Path(path_type=Path))
@PASSPHRASE
@click.option("--to", type=click.Path(path_type=Path), metavar="FOLDER", required=True, help="An empty or new folder.")
@click.option("--dry-run", is_flag=True, help="Show which files there are; write nothing.")
def secrets(common: Common, file: Path, passphrase_file: Path | None, to: Path, dry_run: bool) -> None:
    """Write the files of secrets out of a kit, one folder for each domain.

    Those of domains with `in_kit: true`, as they were when the kit was made; the backup has their newest versions.
    Needs no policies and asks no target.
    """
    from resticwrap.bootstrap import sealing
    from resticwrap.report import text
    from resticwrap.services import kit as service
    from resticwrap.services import kitsecrets

    with guarded(common):
        kit = service.opened(sealing(), file.absolute(), passphrase(passphrase_file, os.environ))
        show(common, kitsecrets.write(kit, to.absolute(), dry_run=dry_run), text.kit_files)


def system_options(function: Callable[..., None]) -> Callable[..., None]:
    """What both ways to restore a system have."""
    options = (
        click.option(
            "--to", type=click.Path(path_type=Path), metavar="FOLDER", required=True, help="An empty or new folder."
        ),
        click.option("--no-start", is_flag=True, help="Do not run the policy's start and health commands."),
        click.option("--failure-at", type=TIME, metavar="TIME", help="When it failed, for the RPO [default: now]."),
        click.option("--thaw", is_flag=True, help="Ask for frozen packs to be thawed, without a question."),
        click.option("--dry-run", is_flag=True, help="Show what would come back, in which order; write nothing there."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@group.command(
    epilog=epilog(
        "rw kit restore teaching.kit --to /srv/recovered",
        "0 1 2 3 10 11 12 20 22 130",
        code_3="something did not come back whole, or is not healthy; it is named",
    )
)
@common
@click.argument("file", type=click.Path(path_type=Path))
@PASSPHRASE
@system_options
def restore(
    common: Common,
    file: Path,
    passphrase_file: Path | None,
    to: Path,
    no_start: bool,
    failure_at: datetime | None,
    thaw: bool,
    dry_run: bool,
) -> None:
    """Bring the whole system back on an empty machine, out of the kit alone, into an empty folder.

    FOLDER/rw gets policies, state, cache and secrets, FOLDER/system the domains, P0 first; each is compared by content
    id. Once the core is back, the policy's start command is run and its health command asked. After an interruption
    the same command goes on.
    """
    from resticwrap.bootstrap import elsewhere, sealing
    from resticwrap.cancel import Cancel
    from resticwrap.clock import SystemClock
    from resticwrap.report import text
    from resticwrap.services import kit as service
    from resticwrap.services import system

    with guarded(common):
        kit = service.opened(sealing(), file.absolute(), passphrase(passphrase_file, os.environ))
        if common.target not in (None, kit.target):
            raise errors.UsageError(f"The kit is of target {kit.target}.", hint="Leave --target out.")
        if missing := [name for name in kit.needs if not (os.environ.get(name) or os.environ.get(f"{name}_FILE"))]:
            raise errors.UsageError(
                f"The kit does not hold the credentials. They are: {kit.where}", hint=f"export {' '.join(missing)}"
            )
        cancel, clock = Cancel(), SystemClock()
        watcher = watcher_of(common)

        def open_(kit: "Kit", root: Path) -> "AbstractContextManager[Context]":
            return elsewhere(kit, root, os.environ, watcher=watcher, cancel=cancel, clock=clock)

        with signals(cancel):
            wanted = wanted_of(common, failure_at or clock.now(), no_start=no_start, thaw=thaw)
            report = (system.preview if dry_run else system.restore)(kit, to.absolute(), wanted, open_, clock)
        show(common, report, text.system, code(report))
        sys.exit(code(report))


def wanted_of(common: Common, declared: datetime, *, no_start: bool, thaw: bool) -> "Wanted":
    """The options as the service wants them."""
    from resticwrap.cli.restore import agreed
    from resticwrap.services.system import Wanted
    from resticwrap.services.thaw import Thawing

    def agrees(plan: "ThawPlan") -> bool:
        return thaw or agreed(common, plan)

    return Wanted(declared=declared, domains=common.domains, start=not no_start, how=Thawing(agrees=agrees))


def code(report: "SystemReport") -> int:
    """3 where anything is not as it was."""
    return errors.OK if report.ok else errors.PARTIAL


def passphrase(option: Path | None, env: Mapping[str, str], policy: Path | None = None, *, twice: bool = False) -> str:
    """From the file that is named first, else asked for at the terminal. Never from an argument."""
    named = env.get(VARIABLE)
    file = option or (Path(named) if named else policy)
    if file is not None:
        try:
            found = file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise errors.UsageError(
                f"The passphrase file {file} cannot be read: {type(error).__name__}.", hint=f"ls -l {file}"
            ) from None
        if not found:
            raise errors.UsageError(f"The passphrase file {file} is empty.", hint="Put the passphrase into it.")
        return found
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise errors.UsageError(
            "Nobody is there to be asked for the passphrase.", hint=f"--passphrase-file FILE, or set {VARIABLE}."
        )
    answer: str = click.prompt("Passphrase of the kit", hide_input=True, confirmation_prompt=twice, err=True)
    return answer
