"""The effective policy with its secrets masked, and the JSON Schema of the files."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from resticwrap.settings.loading import Settings

if TYPE_CHECKING:
    from resticwrap.model.frozen import Frozen

FileName = Literal["targets", "domains", "tiers", "schedule", "gates", "recovery", "alerts"]
MASK = "**********"
VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-.*)?\}"}
"""What may stand in place of any value: a text with a variable in it."""


def show(settings: Settings, targets: Sequence[str] | None = None) -> dict[str, Any]:
    """The policy as it applies, in plain JSON values, with defaults filled in and secrets as `**********`.

    With these targets, or with every one that can be used; a target that cannot shows its `problems` instead.
    Raises UsageError for an unknown target.
    """
    names = settings.target_names if targets is None else [settings.target_name(name) for name in targets]
    return {
        "folder": str(settings.folder),
        "state_dir": str(settings.state_dir),
        "cache_dir": str(settings.cache_dir),
        "host": settings.host,
        "formerly": list(settings.formerly),
        "default_target": settings.default_target,
        "targets": {name: _target(settings, name) for name in names},
        "domains": {name: domain.model_dump(mode="json", by_alias=True) for name, domain in settings.domains.items()},
        "tiers": settings.tiers.model_dump(mode="json"),
        "guard": settings.guard.model_dump(mode="json"),
        "prune": settings.prune.model_dump(mode="json"),
        "lifecycle": settings.lifecycle.model_dump(mode="json"),
        "schedule": settings.schedule.model_dump(mode="json", by_alias=True),
        "gates": settings.gates.model_dump(mode="json"),
        "recovery": settings.recovery.model_dump(mode="json"),
        "alerts": _alerts(settings),
    }


def _alerts(settings: Settings) -> dict[str, Any]:
    if problems := settings.problems_of_alerts:
        return {"problems": [str(problem) for problem in problems]}
    return settings.alerts.model_dump(mode="json")


def _target(settings: Settings, name: str) -> dict[str, Any]:
    if problems := settings.problems_of_target(name):
        return {"problems": [str(problem) for problem in problems]}
    shown = settings.target(name).model_dump(mode="json")
    if shown["password_command"] is not None:
        shown["password_command"] = MASK  # people do write `echo secret`
    return shown


def json_schema(file: FileName | None = None) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one policy file, or of any of them with each under `$defs`."""
    from pydantic.json_schema import models_json_schema

    from resticwrap.model.alerting import AlertsFile
    from resticwrap.model.assurance import GatesFile, RecoveryFile
    from resticwrap.model.policy import DomainsFile, ScheduleFile, TargetsFile, TiersFile

    models: dict[FileName, type[Frozen]] = {
        "targets": TargetsFile,
        "domains": DomainsFile,
        "tiers": TiersFile,
        "schedule": ScheduleFile,
        "gates": GatesFile,
        "recovery": RecoveryFile,
        "alerts": AlertsFile,
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    if file is not None:
        one = _with_variables(models[file].model_json_schema())
        return {**head, **one, "title": f"{file}.yaml of resticwrap"}
    _, document = models_json_schema([(model, "validation") for model in models.values()])
    definitions = _with_variables(document)["$defs"]
    whole = [{"$ref": f"#/$defs/{model.__name__}"} for model in models.values()]
    return {**head, "title": "The policies of resticwrap", "anyOf": whole, "$defs": definitions}


def _with_variables(schema: Any) -> Any:
    """The schema, with a variable allowed wherever a value is not just any text.

    An editor sees `days: ${DAYS:-30}` as a text; without this it would ask for a number there. Constants stay: a
    `provider` decides which keys there are. Titles go, since they only repeat the keys.
    """
    if isinstance(schema, list):
        return [_with_variables(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties", "$defs"):
            result[key] = {part: _with_variables(inner) for part, inner in value.items()}
        elif key not in ("title", "discriminator"):
            result[key] = value if key in ("default", "examples", "enum", "const") else _with_variables(value)
    narrow = result.get("type") in ("integer", "number", "boolean") or (
        result.get("type") == "string" and ("pattern" in result or "enum" in result)
    )
    if not narrow:
        return result
    outside = {key: result.pop(key) for key in ("description", "default", "examples") if key in result}
    return {**outside, "anyOf": [result, VARIABLE]}
