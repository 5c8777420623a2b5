"""A failure, shown to the person who can do something about it."""

from typing import TYPE_CHECKING

from resticwrap.errors import Failure, PolicyError
from resticwrap.report.page import BAD, STRONG, Page

if TYPE_CHECKING:
    from rich.console import Console


def show_failure(console_err: "Console", failure: Failure) -> None:
    """One sentence, every problem of a policy on its own line, and what to do next."""
    with Page(console_err) as page:
        page.say(("error: ", BAD), failure.message)
        if isinstance(failure, PolicyError):
            for problem in failure.problems:
                page.say((f"{problem.file}:{problem.line}: ", STRONG), f"{problem.path}: {problem.message}", indent=2)
        if failure.hint:
            page.say(("what to do: ", STRONG), failure.hint)
