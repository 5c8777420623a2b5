"""What every command says of itself, and what it says to a wrong option."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from resticwrap.cli.main import COMMANDS, main
from resticwrap.cli.options import CODES, Fallback


def walk(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that can be run, by its words."""
    if isinstance(command, Fallback):
        yield name, command.default
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            found = command.get_command(context, word)
            assert found is not None
            yield from walk(found, f"{name} {word}".strip())
    else:
        yield name, command


ALL = dict(walk(main))


def rw(*arguments: str) -> tuple[int, str, str]:
    """Run in this process: exit code, stdout, stderr."""
    done = CliRunner(env={"COLUMNS": "80"}).invoke(main, list(arguments), prog_name="rw", terminal_width=80)
    return done.exit_code, done.stdout, done.stderr


def test_help_lists_every_command() -> None:
    """In the order of a first day, with a line each, without importing them."""
    code, out, _ = rw("--help")
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines() if line.startswith("  ")]
    assert code == 0 and listed[: len(COMMANDS)] == list(COMMANDS)
    assert "Example:" in out and "Exit codes:" in out and "_RW_COMPLETE" in out
    assert rw("-h")[1] == out


@pytest.mark.parametrize("name", ["", *COMMANDS, *ALL])
def test_help_fits(name: str) -> None:
    """80 columns, no line that ends in blanks."""
    code, out, err = rw(*name.split(), "--help")
    assert (code, err) == (0, "")
    for line in out.splitlines():
        assert len(line) <= 80 and line == line.rstrip(), repr(line)


@pytest.mark.parametrize("name", ALL)
def test_help_of_every_command(name: str) -> None:
    """An example that parses, the exit codes with their meaning, the common options, and no option without a word."""
    _, out, _ = rw(*name.split(), "--help")
    examples = out.partition("Example:\n")[2].partition("\n\n")[0].splitlines()
    assert examples and all(line.strip().startswith(f"rw {name}") for line in examples)
    codes = out.partition("Exit codes:\n")[2].splitlines()
    numbers = [int(line.split()[0]) for line in codes]
    assert numbers == sorted(numbers) and {0, 2} <= set(numbers) <= set(CODES)
    assert all(len(line.split()) > 1 for line in codes)
    for option in ("--target", "--domain", "--json", "--policies", "-v", "-q"):
        assert option in out
    for parameter in ALL[name].params:
        assert not isinstance(parameter, click.Option) or parameter.help or parameter.show_default, parameter.name
    for line in examples:
        words = line.split("&&")[0].split(">")[0].split()[1 + len(name.split()) :]
        ALL[name].make_context(f"rw {name}", words)  # raises where an option is not one


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_option(name: str) -> None:
    """Exit 2, how it is used, and nothing on stdout; with --json the same as a document as well."""
    code, out, err = rw(*name.split(), "--no-such-option")
    assert (code, out) == (2, "") and err.startswith(f"Usage: rw {name}") and "No such option" in err
    code, out, err = rw(*name.split(), "--json", "--no-such-option")
    told = json.loads(out)["error"]
    assert (code, told["kind"], told["exit_code"], told["hint"]) == (2, "UsageError", 2, f"rw {name} --help")
    assert "--no-such-option" in told["message"]


@pytest.mark.parametrize(
    "words",
    [
        ["nope"],
        ["--nope"],
        ["backup", "surplus"],
        ["backup", "--type", "half"],
        ["verify", "--share", "1/257"],
        ["verify", "--share", "3"],
        ["verify", "--sample", "0"],
        ["history", "--days", "0"],
        ["ls", "--at", "yesterday"],
        ["restore", "--to", "x", "--in-place"],
        ["restore", "--at", "2026-01-01", "--snapshot", "abc"],
        ["restore", "--undo", "a", "--accept", "b"],
        ["manifest", "show"],
        ["manifest"],
        ["policy", "schema", "--file", "nope"],
        ["schedule", "install"],
        ["schedule", "install", "--cron", "--daemon"],
        ["schedule", "install", "--cron", "--domain", "exams"],
        ["schedule", "install", "--systemd", "--name", "A b"],
    ],
)
def test_a_wrong_use(words: list[str]) -> None:
    """Told before anything is looked at."""
    code, out, err = rw(*words)
    assert code == 2 and out == "" and err.startswith("Usage: rw")
    if words != ["manifest"]:
        told = json.loads(rw(*words, "--json")[1])
        assert told["error"]["exit_code"] == 2 and told["problems"] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """`eval "$(_RW_COMPLETE=bash_source rw)"` gives a script that knows rw."""
    program = "import sys; sys.argv[0] = 'rw'; from resticwrap.cli.main import main; main(prog_name='rw')"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "_RW_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0 and "_RW_COMPLETE" in run.stdout


def test_completion_of_words() -> None:
    """Commands and options, also of commands that are not imported yet."""

    def complete(words: str) -> set[str]:
        program = "from resticwrap.cli.main import main; main(prog_name='rw')"
        env = {**os.environ, "_RW_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
        return {line.partition(",")[2] for line in run.stdout.splitlines()}

    assert complete("rw ") == set(COMMANDS)
    assert {"--in-place", "--to", "--domain"} <= complete("rw restore --")


def test_every_command_is_one_file() -> None:
    """The table names modules that are there, and every module with commands is in it."""
    modules = {module for module, _, _ in COMMANDS.values()}
    folder = Path(importlib.import_module("resticwrap.cli").__path__[0])
    # `system` belongs to `rw restore`, `schedule_install` to `rw schedule`, `db_…` to `rw db`
    shared = {"__init__", "main", "edge", "options", "system", "schedule_install"}
    found = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("db_")}
    assert found - shared == modules
