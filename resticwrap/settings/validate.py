"""From a tree to a model, or to problems: our own words for what pydantic finds, never with the value it found."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from resticwrap.errors import Problem
from resticwrap.settings.tree import Item, PathOfKey, dotted, locate
from resticwrap.settings.variables import Expander, Variables

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from resticwrap.model.frozen import Frozen
    from resticwrap.model.policy import Target

M = TypeVar("M", bound="Frozen")
SOURCE, TYPES = "source", ("files", "secrets", "postgres", "mysql", "sqlite")

WANTED = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be a text",
    "dict": "must be a mapping, which is indented lines of `key: value`",
    "mapping": "must be a mapping, which is indented lines of `key: value`",
    "model": "must be a mapping, which is indented lines of `key: value`",
    "list": "must be a list",
    "tuple": "must be a list",
    "path": "must be a path",
    "time": "must be a duration such as 90s, 4m, 6h, 30d or 1h30m",
}
"""By the first word of pydantic's error type: what the field wants."""


def validate(
    model: type[M], file: str, item: Item, path: PathOfKey, variables: Variables
) -> tuple[M | None, list[Problem]]:
    """The model of what stands at `path` in a file, or None and every reason why not."""
    from pydantic import ValidationError

    expander = Expander(file, variables)
    data = expander.expand(item, path)
    problems = expander.problems
    found: M | None = None
    try:
        found = model.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            if not _follows(_written(detail["loc"]), path, expander.failed):
                problems.append(_problem(model, file, item, path, detail))
    return (None if problems else found), problems


def validate_target(file: str, item: Item, name: str, variables: Variables) -> tuple["Target | None", list[Problem]]:
    """One target, by its provider; what stands in the others does not matter."""
    from resticwrap.model.policy import LocalTarget, OssTarget, S3Target

    path: PathOfKey = ("targets", name)
    if not isinstance(item.value, dict):
        return None, [Problem(file, item.line, dotted(path), WANTED["dict"])]
    expander = Expander(file, variables)
    given = item.value.get("provider", Item(item.line, None))
    match expander.expand(given, (*path, "provider")):
        case "local":
            return validate(LocalTarget, file, item, path, variables)
        case "s3":
            return validate(S3Target, file, item, path, variables)
        case "oss":
            return validate(OssTarget, file, item, path, variables)
    message = "must be local, s3 or oss" if given.value is not None else "is required: local, s3 or oss"
    place = dotted((*path, "provider"))
    return None, expander.problems or [Problem(file, given.line, place, message)]


def _follows(loc: PathOfKey, path: PathOfKey, failed: list[PathOfKey]) -> bool:
    """Whether this only follows from a variable that could not be expanded there or further below."""
    whole = (*path, *loc)
    return any(at[: len(whole)] == whole for at in failed)


def _problem(model: "type[Frozen]", file: str, item: Item, path: PathOfKey, detail: "ErrorDetails") -> Problem:
    tagged = tuple(part for part in detail["loc"] if part != "[key]")
    loc = _written(tagged)
    found = locate(item, loc)
    return Problem(file, found.line, dotted((*path, *loc)), _message(model, item, loc, tagged, detail))


def _written(loc: PathOfKey) -> PathOfKey:
    """The path as an operator wrote it: where a source may be of several types, pydantic's has the type in it too."""
    return tuple(part for at, part in enumerate(loc) if not (at and loc[at - 1] == SOURCE and part in TYPES))


def _message(model: "type[Frozen]", item: Item, loc: PathOfKey, tagged: PathOfKey, detail: "ErrorDetails") -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        what = getattr(_fields(model, tagged[:-1]).get(str(loc[-1])), "description", None)
        return f"is required: {what}" if what else "is required"
    if kind == "extra_forbidden":
        return _unknown(sorted(_fields(model, tagged[:-1])), str(loc[-1]))
    if kind == "value_error":
        return str(context["error"])  # raised by a validator of ours
    if loc and (found := locate(item, loc)) is not locate(item, loc[:-1]) and found.value is None:
        return "is empty: give it a value or remove the line"
    return _wording(kind, context)


def _wording(kind: str, context: Mapping[str, Any]) -> str:
    from resticwrap.model.fields import WORDS

    match kind:
        case "string_pattern_mismatch":
            return WORDS.get(context["pattern"], f"must match {context['pattern']}")
        case "literal_error":
            return f"must be {context['expected']}"
        case "source_type":
            return f"must be {', '.join(TYPES[:-1])} or {TYPES[-1]}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "too_short" | "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
    return WANTED.get(kind.partition("_")[0], f"is not valid ({kind})")


def _unknown(known: list[str], key: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, known, n=1)
    return (
        f"is not a known key; did you mean `{near[0]}`?" if near else f"is not a known key; known: {', '.join(known)}"
    )


def _fields(model: "type[Frozen]", loc: PathOfKey) -> Mapping[str, Any]:
    """The fields, as an operator writes them, of the model at this place; empty where there is none."""
    found: type[Frozen] | None = model
    rest = list(loc)
    while rest and found is not None:
        field = _by_alias(found).get(str(rest.pop(0)))
        found, container = _model_in(field.annotation) if field is not None else (None, False)
        if rest and field is not None and (one := _tagged(field.annotation, str(rest[0]))) is not None:
            found = one
            rest.pop(0)
        elif container and rest:
            rest.pop(0)  # the name or the number of the element
    return _by_alias(found) if found is not None else {}


def _by_alias(model: "type[Frozen]") -> Mapping[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _tagged(annotation: Any, tag: str) -> "type[Frozen] | None":
    """The model that a union holds under this tag."""
    from pydantic import Tag

    parts = get_args(annotation)
    if any(isinstance(part, Tag) and part.tag == tag for part in parts):
        return _model_in(parts[0])[0]
    return next((found for part in parts if (found := _tagged(part, tag)) is not None), None)


def _model_in(annotation: Any) -> "tuple[type[Frozen] | None, bool]":
    """The model that a field's type holds, and whether it holds several of it."""
    from resticwrap.model.frozen import Frozen

    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return annotation, False
    for part in get_args(annotation):
        found, _ = _model_in(part)
        if found is not None:
            return found, getattr(annotation, "__origin__", None) in (dict, tuple, list, Mapping)
    return None, False
