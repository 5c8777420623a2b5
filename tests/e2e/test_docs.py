"""What the documents say is what the program does: examples run, commands exist, tables are complete, links resolve."""

import ast
import json
import re
import secrets
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest
import yaml

from resticwrap import errors, settings
from resticwrap.cli.main import main
from resticwrap.cli.options import Fallback, common
from resticwrap.model import (
    acceptance,
    aging,
    alerting,
    alerts,
    assurance,
    audit,
    databases,
    dbproof,
    dbreports,
    dbrows,
    drill,
    drills,
    evidence,
    frozen,
    gate,
    hosts,
    job,
    kit,
    metrics,
    objects,
    outside,
    policy,
    repair,
    reports,
    running,
    schedule,
    snapshot,
    sources,
    story,
    swap,
    thaw,
    tiering,
    unattended,
    upgrade,
)
from tests import docs, warm
from tests.conftest import MakeLab
from tests.handmade import cheap_key
from tests.lab import PASSWORD, template

RUNNABLE = [name for name in docs.DOCUMENTS if any(block.mark == "run" for block in docs.blocks(name))]
STARTS_BARE = {"README.md"}
"""Documents whose examples begin before `rw init`; the others find two backups made."""


def leaves(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command by the words after `rw`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, Fallback):
            yield " ".join((*path, name)), command.default
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


@common
def _nothing() -> None: ...


COMMON = {opt for param in _nothing.__click_params__ for opt in param.opts}  # type: ignore[attr-defined]


def own_options(command: click.Command) -> set[str]:
    return {opt for param in command.params if isinstance(param, click.Option) for opt in param.opts} - COMMON


FEW = {"docs/runbook.md": ("exam_manifests", "score_sheets", "tenant_config")}
"""Documents whose examples need no more domains than these."""
PACKS = 'find "$RW_LOCAL_PATH/teaching/hot/data" -type f -size +1M'
SCAN = "head -c 2000000 /dev/urandom > teaching/raw/score_sheets/{}.csv && rw backup -q --domain score_sheets"
HAPPENS = {
    "One object": "rm teaching/serving/exam_manifests/E042.json",
    "As of a time": "echo spoilt > teaching/serving/exam_manifests/E042.json",
    "The server is gone": (
        "mkdir usb lost && echo eleven purple goats in a rowboat > usb/phrase && chmod 600 usb/phrase"
        " && export RW_KIT_PASSPHRASE_FILE=$HOME/usb/phrase && rw backup -q && rw kit export -q --out usb/teaching.kit"
        " && cp env lost/env && mv policies state teaching .cache lost/"
        " && unset RW_STATE_DIR RW_LOCAL_PATH TEACHING_ROOT"
    ),
    "Damage": (
        "unset ${!RW_*} ${!RESTIC_*} BACKUP_TARGET_DEFAULT && rm -rf .cache"
        " && mv lost/policies lost/state lost/teaching lost/.cache . && source lost/env"
        f" && {SCAN.format('one')} && {SCAN.format('two')}"
        f" && one=$({PACKS} | head -1) && two=$({PACKS} | tail -1) && test $one != $two"
        " && rm -f $one && chmod u+w $two && printf x | dd of=$two bs=1 seek=5000 conv=notrunc status=none"
    ),
    "Before an upgrade": "printf '#!/bin/sh\\n' > upgrade.sh && chmod +x upgrade.sh",
    "An upgrade went wrong": "echo spoilt > teaching/serving/tenant_config/tenant.json",
}
"""What happens before the examples of a section, unseen by the reader."""
AFTER = {
    "One object": "test -s teaching/serving/exam_manifests/E042.json",
    "As of a time": "! grep -r spoilt teaching/serving/exam_manifests --include=E042.json --exclude-dir='.rw-*'",
    "The server is gone": "diff -r recovered/system/exam_manifests lost/teaching/serving/exam_manifests",
    "An upgrade went wrong": "! grep spoilt teaching/serving/tenant_config/tenant.json",
}
"""What must be so after them."""


class Desk:
    """A newcomer's home: a copy of the policies, the examples, `rw` and `restic` on the path, all in one folder."""

    def __init__(self, folder: Path, restic: Path, *, quick: bool = False) -> None:
        """`quick`: `rw` runs in forks that have the modules already."""
        self.folder = folder
        self.passed = (warm.descriptor(),) if quick else ()
        shutil.copytree(docs.ROOT / "policies", folder / "policies")
        shutil.copytree(docs.ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
        binaries = folder / "bin"
        binaries.mkdir()
        (binaries / "restic").symlink_to(restic)
        (binaries / "python3").symlink_to(sys.executable)
        script = f'#!/bin/sh\nexec {sys.executable} -m resticwrap "$@"\n'
        if quick:
            script = warm.SHIM.format(python=sys.executable, descriptor=warm.descriptor())
        (binaries / "rw").write_text(script)
        (binaries / "rw").chmod(0o755)
        self.env = {
            "PATH": f"{binaries}:/usr/bin:/bin",
            "PYTHONPATH": str(docs.ROOT),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "TEACHING_ROOT": str(folder / "teaching"),
            "RW_LOCAL_PATH": str(folder / "backups"),
            "RW_STATE_DIR": str(folder / "state"),
        }
        self.write_env()

    def leave_only(self, domains: Sequence[str]) -> None:
        """Take all other domains out of the policies."""
        file = self.folder / "policies/domains.yaml"
        content = yaml.safe_load(file.read_text())
        content["domains"] = {name: content["domains"][name] for name in domains}
        file.write_text(yaml.safe_dump(content, sort_keys=False))

    def write_env(self) -> None:
        """What the shell begins with."""
        lines = (f"export {name}='{value}'\n" for name, value in self.env.items())
        (self.folder / "env").write_text("".join(lines))

    def run(self, commands: list[str]) -> list[tuple[int, str]]:
        """Run commands in one shell that goes on from call to call; exit code and output of each."""
        marker = "@@@"
        script = ["set -a; source ./env"]
        for command in commands:
            script += [command, f"printf '\\n{marker}%d\\n' $?"]
        script += ["export -p > ./env.new && mv ./env.new ./env"]
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            env=self.env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            pass_fds=self.passed,
        )
        parts = re.split(rf"\n{marker}(\d+)\n", done.stdout.decode())
        return [(int(code), output) for output, code in zip(parts[::2], parts[1::2], strict=False)]

    def furnish(self, restic: Path) -> None:
        """Repositories whose key opens in no time, and their password where `rw init` would keep it."""
        shutil.copytree(template(restic), self.folder / "backups/teaching")
        password = self.folder / "state/secrets/local.password"
        password.parent.mkdir(parents=True, mode=0o700)
        password.write_text(PASSWORD)
        password.chmod(0o600)

    def cheapen(self) -> None:
        """Give both repositories a key that opens in no time, with the same password."""
        (file,) = self.folder.glob("*/secrets/local.password")
        password = file.read_text().strip()
        for tier in ("hot", "cold"):
            repository = self.folder / "backups/teaching" / tier
            made = subprocess.run(
                [self.folder / "bin/restic", "-r", repository, "--no-cache", "cat", "masterkey"],
                env={**self.env, "RESTIC_PASSWORD": password},
                capture_output=True,
                check=True,
            )
            cheap_key(repository, password, made.stdout)


def checked(desk: Desk, where: str, taken: list[docs.Step]) -> None:
    results = desk.run([step.command for step in taken])
    assert len(results) == len(taken), f"{where}: the shell ended early\n{results}"
    for step, (code, output) in zip(taken, results, strict=True):
        assert code == 0, f"{where}: {step.command} exited {code}\n{output}"
        missing = [line for line in step.shows if not docs.shown(line, output)]
        assert not missing, f"{where}: {step.command} does not show {missing}\n{output}"


def seen_by_nobody(step: docs.Step) -> docs.Step:
    """Tests may run in a container, where `rw` does not see all who might use a place, and wants a person's word."""
    if re.search(r"--(in-place|undo|accept)\b", step.command):
        return docs.Step(f"{step.command} --force", step.shows)
    return step


@pytest.mark.parametrize("document", RUNNABLE)
def test_examples_run(document: str, tmp_path: Path, restic_binary: Path) -> None:
    """Every example marked as runnable ends well and shows the lines that the document shows."""
    desk = Desk(tmp_path, restic_binary, quick=document not in STARTS_BARE)
    if document in FEW:
        desk.leave_only(FEW[document])
    if document not in STARTS_BARE:
        make = "python3 examples/teaching/make.py $TEACHING_ROOT"
        desk.furnish(restic_binary)
        checked(desk, "setting up", [docs.Step(make, ()), docs.Step("rw init -q", ())])
        days = ["rw backup -q", f"{make} --change 1", "rw backup -q"]
        checked(desk, "setting up", [docs.Step(command, ()) for command in days])
    pressed = document == "docs/runbook.md"
    happened: set[str] = set()
    for block in docs.blocks(document):
        if block.mark != "run":
            continue
        assert block.kind == "console", f"{block.where}: runnable examples are console blocks"
        if pressed and block.section in HAPPENS.keys() - happened:
            happened.add(block.section)
            checked(desk, f"{block.where}: what happens", [docs.Step(HAPPENS[block.section], ())])
        for step in docs.steps(block):
            checked(desk, block.where, [seen_by_nobody(step)])
            if step.command == "rw init" and document in STARTS_BARE:
                desk.cheapen()
        if pressed and block.section in AFTER:
            checked(desk, f"{block.where}: what is so then", [docs.Step(AFTER[block.section], ())])
    assert not pressed or happened == HAPPENS.keys()


@pytest.mark.parametrize("kind", ["s3", "oss"])
def test_quick_start_on_a_bucket(
    kind: str, tmp_path: Path, restic_binary: Path, request: pytest.FixtureRequest
) -> None:
    """The README's commands for a bucket work with the shipped policies and the variables that it names."""
    desk = Desk(tmp_path, restic_binary)
    (block,) = [b for b in docs.blocks("README.md") if f"BACKUP_TARGET_DEFAULT={kind}" in b.body]
    bucket = f"quick-start-{secrets.token_hex(4)}"
    server: Any = request.getfixturevalue("weed" if kind == "s3" else "oss")
    (tmp_path / "secret").write_text(f"{server.secret_key if kind == 's3' else server.access_key_secret}\n")
    given = {
        "BACKUP_TARGET_DEFAULT": kind,
        "S3_BUCKET": bucket,
        "S3_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": getattr(server, "access_key", ""),
        "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret"),
        "OSS_BUCKET": bucket,
        "OSS_ENDPOINT": server.endpoint,
        "OSS_ACCESS_KEY_ID": getattr(server, "access_key_id", ""),
        "OSS_ACCESS_KEY_SECRET_FILE": str(tmp_path / "secret"),
    }
    named = re.findall(r"(\w+)=", block.body)
    desk.env |= {name: given[name] for name in named}
    if kind == "s3":
        desk.env["S3_ENDPOINT"] = server.endpoint
    else:  # the tests' server speaks http, and takes the part of the name service too
        desk.env |= {"HTTP_PROXY": server.proxy_url, "OSS_REGION": server.region}
        targets = tmp_path / "policies/targets.yaml"
        targets.write_text(targets.read_text().replace("provider: oss", "provider: oss\n    insecure_http: true"))
    desk.write_env()
    small = {"rw backup": "rw backup --domain tenant_config"}
    lines = [small.get(line, line) for line in block.body.splitlines() if line.startswith("rw ")]
    taken = [docs.Step(line, ()) for line in ("python3 examples/teaching/make.py $TEACHING_ROOT", *lines)]
    checked(desk, block.where, taken)


@pytest.mark.parametrize("document", docs.DOCUMENTS)
def test_every_mentioned_command_exists(document: str) -> None:
    """Each `rw …` in a document parses: the command is there, with these options and values."""
    for where, arguments in docs.rw_calls(document):
        parse(where, [_stand_in(word) for word in arguments])


def parse(where: str, arguments: list[str]) -> None:
    command: click.Command = main
    path = ["rw"]
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        found = command.get_command(click.Context(command), arguments[0])
        if found is None and isinstance(command, Fallback):
            break
        assert found is not None, f"{where}: there is no `{' '.join(path)} {arguments[0]}`"
        command = found
        path.append(arguments.pop(0))
    if isinstance(command, Fallback):
        command = command.default
    if isinstance(command, click.Group) and not arguments:
        return
    missing = [param.name for param in command.params if param.required]
    if not arguments and missing:
        return  # named, not called
    try:
        command.make_context(" ".join(path), arguments)
    except click.exceptions.Exit:
        pass  # --help, --version
    except click.UsageError as error:
        pytest.fail(f"{where}: {error.format_message()}")


def _stand_in(word: str) -> str:
    """A value for what a document leaves open."""
    if "date +" in word:
        word = "TIME"
    return {"TIME": "2026-11-20T12:00", "$AT": "2026-11-20T12:00", "1/N": "1/12", "$file": "targets"}.get(word, word)


def test_every_reason_of_the_gate_is_in_the_runbook() -> None:
    named = [docs.code_in(row[0]) for row in docs.rows("docs/runbook.md") if len(row) == 3 and docs.code_in(row[0])]
    assert {name for (name,) in named} == set(get_args(gate.ReasonKind))


def test_every_rule_of_the_alerts_is_told() -> None:
    """docs/alerts.md has a row for each, with its defaults."""
    rows = {
        docs.code_in(row[0])[0]: row[1] for row in docs.rows("docs/alerts.md") if len(row) == 4 and row[0][:1] == "`"
    }
    told = {}
    for name, default in rows.items():
        severity, *more = default.replace("`", "").split(", ")
        told[name] = {"severity": severity} | {key: value for key, _, value in (one.partition(": ") for one in more)}
    plain = {"runs": "8", "share": "0.5", "factor": "8"}
    wanted = {name: {key: str(value) for key, value in rule.items()} for name, rule in alerting.DEFAULTS.items()}
    wanted["backup_size"] |= plain
    assert told == wanted


def test_every_command_and_option_is_in_the_readme() -> None:
    """The table of commands is complete, and holds nothing that does not exist."""
    table = {
        codes[0].removeprefix("rw "): set(docs.code_in(row[2]))
        for row in docs.rows("README.md")
        if len(row) == 3 and (codes := docs.code_in(row[0])) and codes[0].startswith("rw ")
    }
    assert table == {name: own_options(command) for name, command in leaves()}


def test_every_variable_of_the_policies_is_told() -> None:
    """Each that the shipped policies use has a row in docs/policies.md and a line in `.env.example`."""
    texts = [file.read_text() for file in (docs.ROOT / "policies").glob("*.yaml")]
    lines = (line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#"))
    used = {name for line in lines for name in re.findall(r"\$\{(\w+)", line)} - {"RW_STATE_DIR"}
    assert used <= {name for row in docs.rows("docs/policies.md") for name in docs.code_in(row[0])}
    assert used <= {*re.findall(r"\b([A-Z][A-Z0-9_]+)=", docs.text_of(".env.example"))}


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md", "docs/json.md"])
def test_nothing_stands_twice(document: str) -> None:
    """No command, part or document has two rows or two entries, one of which would be wrong sooner or later."""
    firsts = [row[0] for row in docs.rows(document) if re.match(r"`(rw |\w+/`)", row[0])]
    entries = re.findall(r"^- \[[^]]+\]", docs.text_of(document), re.MULTILINE)
    assert len({*firsts}) == len(firsts) and len({*entries}) == len(entries)


def test_common_options_are_in_the_readme() -> None:
    named = {code.split()[0] for row in docs.rows("README.md") if len(row) == 2 for code in docs.code_in(row[0])}
    assert named >= COMMON


def test_exit_codes_are_in_the_readme() -> None:
    """The table has every code of `errors.py`, and no other."""
    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert {int(row[0]) for row in docs.rows("README.md") if row[0].isdigit()} == codes


@pytest.mark.parametrize("document", docs.DOCUMENTS)
def test_links_resolve(document: str) -> None:
    for link in docs.links(document):
        path, _, anchor = link.partition("#")
        to = (docs.ROOT / document).parent / path if path else docs.ROOT / document
        assert to.exists(), f"{document}: {link}"
        if anchor:
            assert anchor in docs.anchors(str(to.resolve().relative_to(docs.ROOT))), f"{document}: {link}"


ENVIRONMENT = {
    **dict.fromkeys(("S3_BUCKET", "OSS_BUCKET"), "school-backups"),
    "OSS_ENDPOINT": "https://oss-cn-hangzhou.aliyuncs.com",
    **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x"),
    **dict.fromkeys(("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"), "x"),
    "APP_DB_URL": "postgresql://backup@localhost/app",
}


@pytest.mark.parametrize("document", docs.DOCUMENTS)
def test_yaml_examples_load(document: str, tmp_path: Path) -> None:
    """Each YAML example is a policy file that holds, beside the shipped ones."""
    for number, block in enumerate(block for block in docs.blocks(document) if block.kind == "yaml"):
        content = yaml.safe_load(block.body)
        if content is None:
            continue
        folder = tmp_path / str(number)
        shutil.copytree(docs.ROOT / "policies", folder)
        name = {
            "targets": "targets",
            "domains": "domains",
            "tiers": "tiers",
            "jobs": "schedule",
            "gates": "gates",
            "objectives": "recovery",
            "alerts": "alerts",
        }
        (file,) = [name[key] for key in content if key in name]
        (folder / f"{file}.yaml").write_text(block.body)
        if file == "targets":
            # The shipped schedule and default may name a target that the example leaves out.
            (target, *_) = content["targets"]
            (folder / "schedule.yaml").write_text("jobs: {}\n")
            env = {**ENVIRONMENT, "BACKUP_TARGET_DEFAULT": target}
        else:
            env = ENVIRONMENT
        problems = settings.check(folder, env)
        assert not problems, f"{block.where}: {list(map(str, problems))}"


def test_every_policy_key_is_documented() -> None:
    """docs/policies.md names every key that a policy file may have."""
    named = [*vars(policy).values(), *vars(sources).values(), *vars(assurance).values(), *vars(alerting).values()]
    models = [found for found in named if isinstance(found, type) and issubclass(found, frozen.Frozen)]
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()}
    text = docs.text_of("docs/policies.md")
    assert not {key for key in keys if not re.search(rf"\b{key}\b", text)}


@pytest.mark.parametrize("document", docs.DOCUMENTS)
def test_json_examples_are_json(document: str) -> None:
    for block in docs.blocks(document):
        if block.kind == "json":
            json.loads(block.body)


def test_layers_are_those_that_are_checked() -> None:
    """The list of layers is that of import-linter's contract, and says truly which folders are not there yet."""
    contract = tomllib.loads((docs.ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    (listed,) = [block for block in docs.blocks("docs/architecture.md") if block.mark == "layers"]
    assert listed.body.split("\n")[:-1] == [re.sub(r"[()]", "", layer) for layer in contract["layers"]]
    names = {name for layer in listed.body.splitlines() for name in layer.split(" | ")}
    package = docs.ROOT / "resticwrap"
    missing = {name for name in names if not (package / name).is_dir() and not (package / f"{name}.py").exists()}
    (told,) = re.findall(r"^Not there yet: (.*)\.$", docs.text_of("docs/architecture.md"), re.M)
    assert set(docs.code_in(told)) == missing


def test_phases_of_an_in_place_restore_are_documented() -> None:
    """docs/architecture.md says of every phase what a later start does."""
    (table,) = re.findall(r"^\| phase \|.*?\n\n", docs.text_of("docs/architecture.md"), re.M | re.S)
    phases = [code for line in table.split("\n") if line for code in docs.code_in(line.split("|")[1])]
    assert sorted(phases) == sorted(get_args(swap.Phase))


STATE_FOLDERS = {
    "schedule/", "spool/", "journals/", "locks/", "leases/", "secrets/", "evidence/", "kits/", "bucket/", "_canary/",
    "audit/", "alerts/", "logs/", "progress/", "moments/", "scratch/", "staging/", "wal/",
}  # fmt: skip


def test_named_files_exist() -> None:
    """Whatever docs/architecture.md names as a file or folder of the package is there."""
    for code in docs.code_in(docs.FENCE.sub("", docs.text_of("docs/architecture.md"))):
        if re.fullmatch(r"[a-z_]+/", code) and code not in STATE_FOLDERS:
            assert (docs.ROOT / "resticwrap" / code).is_dir(), code
        elif re.fullmatch(r"[a-z_0-9/]+\.py", code):
            assert list((docs.ROOT / "resticwrap").rglob(code)), code
        elif code.startswith("tests/"):
            assert (docs.ROOT / code).is_dir(), code


def structs() -> Mapping[str, type[msgspec.Struct]]:
    modules = (
        reports,
        job,
        running,
        story,
        snapshot,
        objects,
        thaw,
        tiering,
        aging,
        evidence,
        drill,
        repair,
        kit,
        drills,
        gate,
        upgrade,
        acceptance,
        audit,
        metrics,
        unattended,
        outside,
        schedule,
        hosts,
        alerts,
        databases,
        dbproof,
        dbreports,
        dbrows,
    )
    return {
        name: found
        for module in modules
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, msgspec.Struct) and found.__module__ == module.__name__
    }


def named_in(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for argument in get_args(annotation):
        yield from named_in(argument)


def reachable(start: type[msgspec.Struct], found: dict[str, type[msgspec.Struct]]) -> None:
    if start.__name__ in found:
        return
    found[start.__name__] = start
    for field in msgspec.structs.fields(start):
        for other in named_in(field.type):
            reachable(other, found)


def test_json_contract_is_documented() -> None:
    """docs/json.md names every type that `--json` prints with exactly its fields, and a document of each command."""
    table = {docs.code_in(row[0])[0]: docs.code_in(row[1]) for row in docs.rows("docs/json.md") if row[0][:1] == "`"}
    known = structs()
    told = [kind for name, kinds in table.items() if name.startswith("rw ") for kind in kinds if kind in known]
    tops = {*told, "FailureReport", "ObjectRow"}
    commands = {name.removeprefix("rw ") for name in table if name.startswith("rw ")}
    assert commands >= {name for name, _ in leaves()}
    printed: dict[str, type[msgspec.Struct]] = {}
    for top in tops:
        reachable(known[top], printed)
    documented = {name: fields for name, fields in table.items() if name in known}
    assert documented == {
        name: [field.name for field in msgspec.structs.fields(kind)] for name, kind in printed.items()
    }


def test_error_kinds_are_documented() -> None:
    """docs/json.md lists every kind of error with its exit code."""
    tree = ast.parse((docs.ROOT / "resticwrap/errors.py").read_text())
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    kinds = {name: getattr(errors, name).exit_code for name in classes if hasattr(getattr(errors, name), "exit_code")}
    told = {kind: int(row[1]) for row in docs.rows("docs/json.md") if row[1].isdigit() for kind in docs.code_in(row[0])}
    assert told == kinds


def test_picture_is_of_the_shipped_policies() -> None:
    """docs/status.svg shows every shipped domain, all within their objectives: `examples/picture.py` draws it."""
    drawn = re.sub(r"<[^>]+>", "\n", docs.text_of("docs/status.svg")).replace("&#160;", " ")
    domains = yaml.safe_load((docs.ROOT / "policies/domains.yaml").read_text())["domains"]
    for name in domains:
        assert name in drawn
    assert f"{len(domains)} of {len(domains)}" in drawn
    assert "http" not in drawn


def test_an_append_only_writer_is_enough(make_lab: MakeLab, weed: Any) -> None:
    """docs/storage.md: a key that may delete nothing but locks backs up, verifies and restores, and leaves no lock;
    also after an interrupted job, whose uploads only somebody who may delete can make count."""
    lab = make_lab("s3")
    bucket = lab.target["bucket"]
    weed.deny_deletes(bucket)
    lab.env |= {"LAB_KEY": weed.second.access_key, "LAB_SECRET": weed.second.secret_key}
    lab.fill("exams")
    lab.fill("profiles")
    lab.rw("backup")
    lab.fill("exams")
    latest = lab.state / "latest_main.json"
    latest.write_text(json.dumps({**json.loads(latest.read_text()), "unindexed": 1 << 30}))
    assert "may be uploaded again" in str(lab.json("backup")["warnings"])
    lab.rw("verify", "--share", "1")
    lab.rw("restore", "--to", str(lab.folder / "back"))
    assert lab.json("unlock")["locks"] == []
