"""`rw policy`."""

import json
import sys
from typing import Any

import click

from resticwrap import errors
from resticwrap.cli.edge import fail, guarded, run_lines
from resticwrap.cli.options import Common, common, epilog


@click.group()
def group() -> None:
    """The policies: targets, domains, tiers, schedule, gates, recovery, alerts."""


@group.command(epilog=epilog("rw policy check --target s3", "0 2", code_0="they hold", code_2="they do not"))
@common
def check(common: Common) -> None:
    """Report every problem at once, with file, line and key.

    Without --target every target is checked; variables of one that nothing uses may be missing.
    """
    import os

    from resticwrap import settings

    with guarded(common):
        folder = settings.find_folder(common.policies, os.environ)
        targets = [common.target] if common.target else None
        problems = settings.check(folder, dict(os.environ), targets)
        if problems:
            fail(
                common,
                errors.PolicyError(problems, hint="Mend what is named above; docs/policies.md explains each key."),
            )
        read = settings.load(folder, dict(os.environ))
        read.select_domains(common.domains)
        unusable = [name for name in targets or read.target_names if read.problems_of_target(name)]
        if common.json:
            _print({"ok": True, "folder": str(folder), "not_usable_yet": unusable})
        elif not common.quiet:
            click.echo(f"The policies in {folder} hold.")
            for name in unusable:
                _not_yet(name)


@group.command(epilog=epilog("rw policy show --target s3 --json", "0 2"))
@common
def show(common: Common) -> None:
    """Show the policies as they were understood, with defaults and without secrets."""
    from resticwrap import settings
    from resticwrap.report import text

    with run_lines(common) as house:
        read = house.settings
        names = [common.target] if common.target else list(read.target_names)
        domains = read.select_domains(common.domains)
        if common.json:
            shown = settings.show(read, names)
            shown["domains"] = {name: value for name, value in shown["domains"].items() if name in domains}
            _print(shown)
            return
        usable = {name: read.target(name) for name in names if common.target or not read.problems_of_target(name)}
        text.policy(
            text.console(),
            default=read.default_target,
            targets=usable,
            domains=domains,
            tiers=read.tiers,
            schedule=read.schedule,
            gates=read.gates,
            recovery=read.recovery,
        )
        for name in names:
            if name not in usable:
                _not_yet(name)


def _not_yet(name: str) -> None:
    click.echo(f"Target {name} cannot be used yet: rw policy check --target {name}")


@group.command(epilog=epilog("rw policy schema --file domains > domains.schema.json", "0 2"))
@common
@click.option(
    "--file",
    type=click.Choice(["targets", "domains", "tiers", "schedule", "gates", "recovery", "alerts"]),
    help="Of one file [default: all].",
)
def schema(common: Common, file: Any) -> None:
    """Print the JSON Schema of the policy files, for editors."""
    import os

    from resticwrap import settings

    with guarded(common):
        # It is the same for every one of them, and needs no policies; but what is named must exist.
        if common.target or common.domains:
            read = settings.load(settings.find_folder(common.policies, os.environ), dict(os.environ))
            read.target_name(common.target)
            read.select_domains(common.domains)
        _print(settings.json_schema(file))


def _print(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    sys.stdout.write("\n")
