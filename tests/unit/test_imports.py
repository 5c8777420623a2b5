"""What is imported when: `rw --help` answers at once, and every module can be imported alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import resticwrap
from resticwrap.cli.main import COMMANDS

ROOT = Path(resticwrap.__file__).parent
SAFE = r"msgspec\.json\.Decoder\(|msgspec\.convert\([^,]+(?:, None\))?, (?:bytes|Outcome|Time)\b"
HEAVY = [
    "alembic",
    "boto3",
    "botocore",
    "cryptography",
    "msgspec",
    "oss2",
    "prometheus_client",
    "pydantic",
    "rich",
    "sqlalchemy",
    "yaml",
]


def modules() -> list[str]:
    """Every module of the package, but for Alembic's, which only Alembic loads, and the one that runs."""
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        name = ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        if ".migrations" not in name and "_bundled" not in name and not name.endswith("__main__"):
            found.append(name)
    return found


def loaded(code: str) -> list[str]:
    """The heavy packages that a fresh interpreter has loaded after this code."""
    script = f"import sys\n{code}\nprint([n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return list(eval(run.stderr))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_help_and_version_load_click_alone(arguments: list[str]) -> None:
    """None of the clients, the database, the models or the renderer."""
    code = f"from resticwrap.cli.main import main\nmain({arguments!r}, standalone_mode=False)"
    if not arguments:
        code = code.replace("\nmain(", "\ntry: main(").replace("False)", "False)\nexcept Exception: pass")
    assert loaded(code) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_light(name: str) -> None:
    """So that completion and help answer at once."""
    code = f"from resticwrap.cli.main import main\nmain([{name!r}, '--help'], standalone_mode=False)"
    assert loaded(code) == []


def test_bootstrap_builds_no_client_by_being_imported() -> None:
    """Only the wanted target's client is ever loaded, and no database before somebody asks it."""
    assert not {"boto3", "botocore", "oss2", "sqlalchemy", "alembic", "rich"} & set(
        loaded("import resticwrap.bootstrap")
    )


def test_a_backup_of_files_loads_no_database() -> None:
    """What speaks to servers is loaded with the first domain that is one."""
    script = (
        "import sys, resticwrap.bootstrap, resticwrap.cli.backup, resticwrap.services.backup\n"
        "import resticwrap.services.restoreplace, resticwrap.sources.choose\n"
        "print(*sorted(name for name in sys.modules if name.startswith('resticwrap.sources.')))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["resticwrap.sources.choose", "resticwrap.sources.files"]


def test_every_module_imports_alone() -> None:
    """No module leans on what another happened to import first."""
    script = (
        "import importlib, os, sys\nfailed = []\n"
        f"for name in {modules()!r}:\n"
        "    if (pid := os.fork()) == 0:\n"
        "        try: importlib.import_module(name)\n"
        "        except BaseException as error: print(name, repr(error)); os._exit(1)\n"
        "        os._exit(0)\n"
        "    if os.waitpid(pid, 0)[1]: failed.append(name)\n"
        "sys.exit(bool(failed))"
    )
    # What all of them need is loaded before the forks, which spares a second each; ours is not.
    first = "import click, msgspec, pydantic, sqlalchemy, boto3, cryptography.hazmat.primitives.ciphers\n"
    run = subprocess.run([sys.executable, "-c", first + script], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_values_are_decoded_through_one_door() -> None:
    """msgspec's own functions learn a struct when it is first met, and crash where two threads meet one at once;
    `model/base.py` lets one in at a time. Decoders that are made by an import are safe: imports have a lock."""
    found = [
        f"{file.relative_to(ROOT)}: {call}"
        for file in sorted(ROOT.rglob("*.py"))
        if file != ROOT / "model/base.py"
        for call in re.findall(r"msgspec\.(?:json\.|convert\().*", file.read_text())
        if not re.match(
            r"msgspec\.json\.Decoder\(|msgspec\.convert\([^,]+(?:, None\))?, (?:bytes|Outcome|Time)\b", call
        )
    ]
    assert found == []
