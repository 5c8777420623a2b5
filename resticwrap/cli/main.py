"""`rw`: one group whose commands are imported when they are called. Loads click and nothing else."""

import gc
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from resticwrap import __version__, errors

JSON = "resticwrap.json"
"""Under this key the context knows whether --json was given, also when the rest cannot be parsed."""

GARBAGE = 50_000
"""How many new objects Python makes before it looks for garbage among them."""

COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("init", "command", "Make (or adopt) a target's repositories and pin their ids."),
    "backup": ("backup", "command", "Back domains up, one snapshot each, with a manifest."),
    "snapshots": ("snapshots", "command", "List the snapshots of a target."),
    "history": ("history", "command", "Jobs as a table, and a calendar of days by domain."),
    "ls": ("ls", "command", "List what a snapshot holds, with content ids."),
    "restore": ("restore", "group", "Bring paths, domains or everything back, and compare."),
    "db": ("db", "group", "Databases: restore, take rows out, put them back, copy."),
    "tier": ("tier", "group", "Copy to cold what it promises, prove it, label it."),
    "verify": ("verify", "command", "Read the store back and restore a sample."),
    "repair": ("repair", "command", "Bring back what damage took, and compare."),
    "drill": ("drill", "group", "Rehearse restores with a stopwatch, and compare."),
    "forget": ("forget", "command", "Remove what neither policy nor pin keeps, with reasons."),
    "pin": ("pin", "command", "Keep snapshots whatever the policy says."),
    "unpin": ("pin", "unpin", "Release a pin."),
    "recover-deleted": ("recover", "command", "Bring back what was deleted from a bucket."),
    "prune": ("prune", "command", "Clean out what no snapshot needs, in quiet hours."),
    "status": ("status", "command", "One screen: how safe is what."),
    "logs": ("logs", "command", "What a job did, line by line; also while it runs."),
    "metrics": ("metrics", "command", "Metrics for Prometheus and node_exporter."),
    "alerts": ("alerts", "group", "What fires; tell, acknowledge, silence, try the channels."),
    "gate": ("gate", "command", "May an upgrade or a prune go on, and why not."),
    "pre-upgrade": ("upgrade", "pre_upgrade", "Take a full, pinned snapshot for a release ticket."),
    "upgrade": ("upgrade", "command", "Snapshot, gate, run a command, drill; or go back."),
    "stats": ("stats", "command", "What is stored, how it grows, when it is full."),
    "report": ("report", "group", "The acceptance table, and the summary of a day."),
    "doctor": ("doctor", "command", "Check this machine and the target."),
    "lifecycle": ("lifecycle", "group", "Plan, apply and look at the bucket's lifecycle rules."),
    "unlock": ("unlock", "command", "Remove locks whose holder is known to be gone."),
    "manifest": ("manifest", "group", "Show what a job wrote."),
    "audit": ("audit", "group", "The evidence: check it, list it, hand it out."),
    "kit": ("kit", "group", "The recovery kit: one file that opens everything."),
    "key": ("key", "group", "List, add, rotate and remove the repositories' keys."),
    "policy": ("policy", "group", "Check, show and describe the policies."),
    "catalog": ("catalog", "group", "Rebuild the catalogue from the target."),
    "schedule": ("schedule", "group", "Run the schedule, or hand it to systemd or cron."),
}
"""Name: module, attribute, and the line in `rw --help`, so that help need not import them."""


class Lazy(click.Group):
    """Imports a command's module when the command is called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a process of its own. Most of its objects are modules that stay to the end: looking through them for
        garbage at every import, and all once more at the end, took a third of the processor time of a command."""
        gc.set_threshold(GARBAGE)
        try:
            return super().__call__(*args, **kwargs)
        finally:
            gc.freeze()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _fill_streams()
        ctx.meta[JSON] = "--json" in args
        with _told(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """As any group; Ctrl-C before a command has begun its work is an interruption too."""
        try:
            with _told(ctx):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(errors.INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        found = getattr(importlib.import_module(f"resticwrap.cli.{module}"), attribute)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


def _fill_streams() -> None:
    """Where a standard stream was closed, put one that goes nowhere: else the next file to be opened takes its number,
    and what a child is handed by that number is lost."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w" if number else "r"))


@contextmanager
def _told(ctx: click.Context) -> Iterator[None]:
    """A wrong option is told as JSON as well where --json was given."""
    try:
        yield
    except click.UsageError as error:
        if ctx.meta[JSON] and not isinstance(error, click.exceptions.NoArgsIsHelpError):
            from resticwrap.cli.edge import put_failure

            at = error.ctx.command_path if error.ctx else "rw"
            put_failure(errors.UsageError(error.format_message(), hint=f"{at} --help"))
        raise


EPILOG = """\b
Example:
  rw init && rw backup && rw verify && rw status

\b
Exit codes: 0 ok, 1 failed, 2 usage or policy error, 3 partial, 10 no
repository, 11 locked, 12 wrong password, 20 verify failed, 21 gate closed,
22 target unreachable, 130 interrupted.

\b
Completion: eval "$(_RW_COMPLETE=bash_source rw)"
"""


@click.group(cls=Lazy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rw")
def main() -> None:
    """Backups with restic that can prove they restore."""
