"""`rw logs`."""

from typing import TYPE_CHECKING

import click

from resticwrap.cli.edge import put, run, run_lines
from resticwrap.cli.options import Common, common, epilog

if TYPE_CHECKING:
    from resticwrap.bootstrap import House

POLL = 0.5
"""Seconds between two looks at a story that goes on."""


@click.command(
    epilog=epilog(
        "rw logs\nrw logs --last\nrw logs snapshot_20261123T140000Z_3f9c2a --follow",
        "0 1 2",
        code_0="ok; also where --follow was ended with Ctrl-C",
        code_1="failed, or no such job",
    )
)
@common
@click.argument("job", required=False)
@click.option("--last", is_flag=True, help="The last job that has a log here.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends; without JOB, the one that runs.")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Jobs in the list; 0: all.")
def command(common: Common, job: str | None, last: bool, follow: bool, limit: int) -> None:
    """What a job did, line by line: its domains, each restic that was run, waits, retries, how it ended.

    JOB is an id, or the beginning of one, six characters at least. Without one: the last jobs that have a log. Logs
    are kept on the machine that ran the job, for 30 days, the last 2,000. With --json, one line of JSON for each line.
    """
    from resticwrap.report import logs as screen
    from resticwrap.services import logs

    if last and job:
        raise click.UsageError("--last goes without JOB.")
    if job is None and not last and not follow:
        run(common, lambda house: logs.listing(house.records, house.stories, limit or None), screen.logs)
    with run_lines(common) as house:
        if job is None:
            job = logs.newest(house.records, house.stories, running=not last)
        tell(common, house, logs.named(house.records, house.stories, job), follow=follow)


def tell(common: Common, house: "House", job: str, *, follow: bool) -> None:
    """The record, the story, and after a story that was followed the record as it is then."""
    from resticwrap.report import logs as screen
    from resticwrap.report.console import console
    from resticwrap.services import logs

    def put_head() -> bool:
        head = logs.head(house.records, house.stories, job)
        put(head) if common.json else screen.head(console(), head)
        return head.running

    runs = put_head()
    wait = (lambda: not house.cancel.wait(POLL)) if follow else None
    for found in logs.lines(house.stories, job, wait):
        if common.json:
            for line in found:
                put(line)
        else:
            screen.lines(console(), found, job)
    if follow and runs and not house.cancel.is_set:
        put_head()
