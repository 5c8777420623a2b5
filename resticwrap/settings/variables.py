"""`${VAR}`, `${VAR:-default}` and `$$`, in the texts of the policies and nowhere else.

What comes out of a variable is text and is never read as YAML again. A variable that is empty counts as not set. Where
`VAR` is not set and `VAR_FILE` is, the value is what that file holds, as Docker's secrets do it.
"""

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resticwrap.errors import Problem
from resticwrap.settings.tree import Item, PathOfKey, dotted

# The default may hold one level of braces, so a `${OTHER}` in it is closed rightly; it is taken as it stands.
REFERENCE = re.compile(r"\$(?:\$|\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^{}]|\{[^{}]*\})*))?\})?)")
MAX_SECRET_BYTES = 64 << 10
NAMED = frozenset({("targets",), ("domains",), ("jobs",)})
"""Mappings of things with names: one of these that says nothing is a mistake, not something left out."""


class Unset(str):
    """What is wrong, in words, where it is only that a variable has no value."""

    __slots__ = ()


class _NotGiven:
    """Expanded to nothing: as if the line were not there."""


NOT_GIVEN = _NotGiven()


class Variables:
    """The environment as the policies see it. `extra` are variables that always have a value."""

    def __init__(self, env: Mapping[str, str], extra: Mapping[str, str]) -> None:
        self._env = {**env, **extra}

    def value(self, name: str) -> str | None:
        """A variable's value, None where it has none. Raises ValueError, without the value, for a broken VAR_FILE."""
        if value := self._env.get(name):
            return value
        if not (place := self._env.get(f"{name}_FILE")):
            return None
        return _read_secret(f"{name}_FILE", place)


def _read_secret(variable: str, place: str) -> str:
    """The place is not repeated in any message: somebody may have put the secret itself there."""
    try:
        path = Path(place)
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"variable {variable} names something that is not a file")
        with path.open("rb") as stream:
            data = stream.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ValueError(f"variable {variable} names a file that cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise (error if "variable" in str(error) else ValueError(f"variable {variable} names no file")) from None
    if len(data) > MAX_SECRET_BYTES:
        raise ValueError(f"variable {variable} names a file of more than 64 KiB")
    try:
        text = data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"variable {variable} names a file that is not UTF-8") from None
    if not text:
        raise ValueError(f"variable {variable} names an empty file")
    return text


def expand_text(text: str, variables: Variables) -> tuple[str, list[str]]:
    """The text with its references replaced, and what is wrong with them in words without any value."""
    wrong: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if match[0] == "$$":
            return "$"
        if name is None:
            wrong.append("has an unfinished ${...}: write ${VAR}, ${VAR:-default}, or $$ for a dollar sign")
            return ""
        try:
            value = variables.value(name)
        except ValueError as error:
            wrong.append(str(error))
            return ""
        if value is None and default is None:
            wrong.append(Unset(f"variable {name} is not set"))
        return value if value is not None else default or ""

    return REFERENCE.sub(replacement, text), wrong


class Expander:
    """Turns a tree into plain values for a model; collects problems and the paths at which there are some."""

    def __init__(self, file: str, variables: Variables) -> None:
        self.problems: list[Problem] = []
        self.failed: list[PathOfKey] = []
        self._file = file
        self._variables = variables

    def expand(self, item: Item, path: PathOfKey) -> Any:
        """Texts, dicts, lists, None; keys and list elements that expand to nothing are left out."""
        value = item.value
        if isinstance(value, dict):
            pairs = ((key, self.expand(child, (*path, key))) for key, child in value.items())
            if path in NAMED:
                return {key: None if child is NOT_GIVEN else child for key, child in pairs}
            return {key: child for key, child in pairs if child is not NOT_GIVEN}
        if isinstance(value, list):
            children = (self.expand(child, (*path, at)) for at, child in enumerate(value))
            return [child for child in children if child is not NOT_GIVEN]
        if value is None or "$" not in value:
            return value
        text, wrong = expand_text(value, self._variables)
        if wrong:
            self.failed.append(path)
            self.problems += [
                Problem(self._file, item.line, dotted(path), message, isinstance(message, Unset))
                for message in dict.fromkeys(wrong)
            ]
            return NOT_GIVEN
        return NOT_GIVEN if not text or (item.plain and text in ("~", "null", "Null", "NULL")) else text
