"""What `rw policy show` and `rw policy schema` print."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resticwrap.settings import FileName, json_schema, load, show
from tests.unit.settings.samples import TARGETS, policies

SHIPPED = Path(__file__).parents[3] / "policies"
SECRETS = {"OSS_ACCESS_KEY_ID": "LTAIhunter", "OSS_ACCESS_KEY_SECRET": "hunter2", "OSS_SECURITY_TOKEN": "hunter3"}


def test_the_effective_policy_is_shown_without_its_secrets(tmp_path: Path) -> None:
    """Plain JSON, durations as they are written, a command that prints a password masked as well."""
    targets = TARGETS.replace("path: /backups", "path: /backups\n    password_command: echo hunter4")
    shown = show(load(policies(tmp_path, targets=targets), SECRETS))
    text = json.dumps(shown)
    assert "hunter" not in text
    assert shown["targets"]["oss"]["credentials"] == dict.fromkeys(shown["targets"]["oss"]["credentials"], "**********")
    assert shown["targets"]["here"]["password_command"] == "**********"
    assert shown["schedule"]["jobs"]["often"]["every"] == "4m" and shown["tiers"]["hot"]["keep"]["within"] == "1d"
    assert shown["domains"]["exams"]["schema"] == []


def test_a_target_that_cannot_be_used_shows_why(tmp_path: Path) -> None:
    """The rest of the policy is shown all the same; targets that were not asked for are not looked at."""
    read = load(policies(tmp_path), {})
    assert "OSS_ACCESS_KEY_ID is not set" in show(read)["targets"]["oss"]["problems"][0]
    assert list(show(read, ["here"])["targets"]) == ["here"]


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """Enough of JSON Schema for the shipped files; raises KeyError on a keyword that it does not know."""
    known = {"$schema", "$defs", "description", "default", "examples", "title", "format", "writeOnly"}
    return all(KEYWORDS[key](wanted, value, schema, root) for key, wanted in schema.items() if key not in known)


TYPES = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}
Keyword = Callable[[Any, Any, dict[str, Any], dict[str, Any]], bool]


def for_a(kind: type, holds: Keyword) -> Keyword:
    """A keyword that says something of this type only."""
    return lambda wanted, value, schema, root: not isinstance(value, kind) or holds(wanted, value, schema, root)


KEYWORDS: dict[str, Keyword] = {
    "$ref": lambda wanted, value, schema, root: accepts(root["$defs"][wanted.rpartition("/")[2]], value, root),
    "anyOf": lambda wanted, value, schema, root: any(accepts(part, value, root) for part in wanted),
    "oneOf": lambda wanted, value, schema, root: sum(accepts(part, value, root) for part in wanted) == 1,
    "type": lambda wanted, value, schema, root: isinstance(value, TYPES[wanted]),
    "enum": lambda wanted, value, schema, root: value in wanted,
    "const": lambda wanted, value, schema, root: bool(value == wanted),
    "pattern": for_a(str, lambda wanted, value, schema, root: re.search(wanted, value) is not None),
    "minLength": for_a(str, lambda wanted, value, schema, root: len(value) >= wanted),
    "maxLength": for_a(str, lambda wanted, value, schema, root: len(value) <= wanted),
    "exclusiveMinimum": for_a(float, lambda wanted, value, schema, root: bool(value > wanted)),
    "minimum": for_a(int, lambda wanted, value, schema, root: bool(value >= wanted)),
    "maximum": for_a(int, lambda wanted, value, schema, root: bool(value <= wanted)),
    "minProperties": for_a(dict, lambda wanted, value, schema, root: len(value) >= wanted),
    "required": for_a(dict, lambda wanted, value, schema, root: set(wanted) <= set(value)),
    "items": for_a(list, lambda wanted, value, schema, root: all(accepts(wanted, part, root) for part in value)),
    "properties": for_a(
        dict,
        lambda wanted, value, schema, root: all(
            accepts(wanted[k], value[k], root) for k in wanted.keys() & value.keys()
        ),
    ),
    "patternProperties": for_a(
        dict,
        lambda wanted, value, schema, root: all(
            accepts(inner, part, root) for inner in wanted.values() for part in value.values()
        ),
    ),
    "additionalProperties": for_a(
        dict,
        lambda wanted, value, schema, root: wanted is not False or value.keys() <= schema.get("properties", {}).keys(),
    ),
}


@pytest.mark.parametrize("file", ["targets", "domains", "tiers", "schedule"])
def test_the_shipped_files_follow_their_schema(file: FileName) -> None:
    """As an editor reads them: with their variables in place of values. A misspelt key does not pass."""
    import yaml

    schema = json_schema(file)
    data = yaml.safe_load((SHIPPED / f"{file}.yaml").read_text(encoding="utf-8"))
    assert accepts(schema, data, schema)
    assert not accepts(schema, {**data, "tragets": {}}, schema)
    whole = json_schema()
    assert accepts(whole, data, whole)


def test_the_schema_says_its_draft_and_names_the_four_files() -> None:
    """2020-12, which is what editors know."""
    assert json_schema()["$schema"] == json_schema("tiers")["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"TargetsFile", "DomainsFile", "TiersFile", "ScheduleFile"} <= set(json_schema()["$defs"])


def test_a_schema_refuses_what_the_models_refuse() -> None:
    """Values out of range, and things of the wrong type."""
    schema = json_schema("tiers")
    keep = {"last": 1}
    for days, fits in ((30, True), (0, False), ("many", False), ("${DAYS:-30}", True), ([], False)):
        tiers = {"tiers": {"hot": {"days": days, "keep": keep}, "cold": {"days": 180, "keep": keep}}}
        assert accepts(schema, tiers, schema) is fits


def test_importing_the_settings_costs_nothing() -> None:
    """`rw --version` needs neither pydantic nor YAML."""
    code = "import sys, resticwrap.settings; print([m for m in ('pydantic', 'yaml', 'difflib') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
