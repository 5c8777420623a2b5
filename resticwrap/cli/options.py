"""Options that every command has, and what they are collected into."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Common:
    """The options of every command."""

    policies: Path | None
    target: str | None
    domains: tuple[str, ...]
    json: bool
    verbose: bool
    quiet: bool


def common(function: F) -> F:
    """Give a command the common options, as one `common` argument."""

    def collect(
        *args: Any,
        policies: Path | None,
        target: str | None,
        domain: tuple[str, ...],
        as_json: bool,
        verbose: bool,
        quiet: bool,
        **rest: Any,
    ) -> Any:
        return function(*args, common=Common(policies, target, domain, as_json, verbose, quiet), **rest)

    collect.__name__, collect.__doc__ = function.__name__, function.__doc__
    collect.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    for option in reversed(OPTIONS):
        collect = option(collect)
    return collect  # type: ignore[return-value]


class Fallback(click.Group):
    """A group with a command of its own name: what does not begin with the name of a command is an argument of that
    one. So `rw restore PATH` and `rw restore object …` live side by side."""

    def __init__(self, default: click.Command) -> None:
        super().__init__(name=default.name, help=default.help)
        self.default = default

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in self.commands:
            return super().make_context(info_name, args, parent, **extra)
        return self.default.make_context(info_name, args, parent, **extra)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        return [*super().shell_complete(ctx, incomplete), *self.default.shell_complete(ctx, incomplete)]


OPTIONS = (
    click.option(
        "--target", metavar="NAME", help="Target of the policy [default: $BACKUP_TARGET_DEFAULT or the policy's]."
    ),
    click.option("--domain", metavar="NAME", multiple=True, help="Only this domain; may be repeated."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout; logs go to stderr."),
    click.option(
        "--policies",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Where the policies are [default: $RW_POLICIES, ./policies, /etc/resticwrap/policies].",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Show the restic commands that are run, on stderr."),
    click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
)


CODES = {
    0: "ok",
    1: "failed",
    2: "usage or policy error",
    3: "partial",
    10: "no repository, or another one",
    11: "locked",
    12: "wrong password",
    20: "verify failed",
    21: "gate closed",
    22: "target unreachable",
    130: "interrupted",
}


def epilog(example: str, codes: str, **meanings: str) -> str:
    """The end of a command's help: examples, one a line, and what its exit codes mean.

    `codes` are numbers with spaces between; `meanings` (`code_3="…"`) says what one of them means here.
    """
    lines = "\n".join(f"  {line}" for line in example.strip().splitlines())
    meant = {code: meanings.get(f"code_{code}", CODES[code]) for code in map(int, codes.split())}
    listed = "\n".join(f"  {code:<4} {meaning}" for code, meaning in meant.items())
    return f"\b\nExample:\n{lines}\n\n\b\nExit codes:\n{listed}\n"
