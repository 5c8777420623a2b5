"""YAML as a tree of texts, mappings and lists that knows the line of each key.

Scalars stay the text that was written: what a text means (a number, a truth value, a duration) is for the field to
say that wants it, so a password of digits stays a password and `no` stays a name. Nothing here repeats what a value
says, and of PyYAML's own messages only those are passed on that are fixed sentences of libyaml.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resticwrap.errors import Problem

if TYPE_CHECKING:
    from yaml.events import Event
    from yaml.nodes import MappingNode, Node, SequenceNode

PathOfKey = tuple[str | int, ...]
WHOLE_FILE = "(the file)"
MAX_BYTES = 1 << 20
MAX_ITEMS = 50_000
MAX_DEPTH = 50
CORE = "tag:yaml.org,2002:"
PLAIN_TAGS = frozenset(
    CORE + tag for tag in ("str", "int", "float", "bool", "null", "timestamp", "value", "map", "seq")
)


@dataclass(frozen=True, slots=True, repr=False)
class Item:
    """One value of a file. `line` is where its key stands, from 1; `plain` is False for a quoted or block text."""

    line: int
    value: "str | dict[str, Item] | list[Item] | None"
    plain: bool = True


def dotted(path: PathOfKey) -> str:
    """`targets.oss.region`. What does not look like a key is not repeated: it may be a value in the wrong place."""
    return ".".join(str(part) if isinstance(part, int) else shown(part) for part in path) or WHOLE_FILE


def shown(key: str) -> str:
    """The key, or `<key>` where it does not look like one."""
    usual = re.fullmatch(r"[a-z_][a-z0-9_-]{0,63}", key) or re.fullmatch(r"[A-Za-z][A-Za-z _-]{0,39}", key)
    return key if usual else "<key>"


def locate(item: Item, path: PathOfKey) -> Item:
    """The item at this path, or the nearest one above it that exists."""
    for part in path:
        value = item.value
        match value, part:
            case dict(), str() if part in value:
                item = value[part]
            case list(), int() if part < len(value):
                item = value[part]
            case _:
                break
    return item


def read(folder: Path, file: str) -> tuple[Item | None, list[Problem]]:
    """A file's tree, None where there is none to speak of, and what is wrong with its shape."""
    try:
        with (folder / file).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        kind = file.partition(".")[0]
        hint = f"`rw policy schema --file {kind}` and docs/policies.md say what belongs into it"
        return None, [Problem(file, 1, WHOLE_FILE, f"is missing in the policies folder; {hint}")]
    except OSError as error:
        return None, [Problem(file, 1, WHOLE_FILE, f"cannot be read: {error.strerror or 'input/output error'}")]
    if len(data) > MAX_BYTES:
        return None, [Problem(file, 1, WHOLE_FILE, "is larger than 1 MiB, which no policy is")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return None, [Problem(file, 1 + data.count(b"\n", 0, error.start), WHOLE_FILE, "is not UTF-8 here")]
    return parse(file, text)


def parse(file: str, text: str) -> tuple[Item | None, list[Problem]]:
    """The tree of a text; the file's name is for the problems."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a PyYAML built without libyaml is only slower
    reader = _Reader(file)
    try:
        _limit_depth(yaml.parse(text, Loader=loader))
        root = yaml.compose(text, Loader=loader)
        tree = reader.item(root, (), 1, ()) if root is not None else Item(1, None)
    except (yaml.scanner.ScannerError, yaml.parser.ParserError) as error:
        mark = error.problem_mark or error.context_mark
        told = f": {error.problem}" if loader is not yaml.SafeLoader and error.problem else ""
        return None, [Problem(file, mark.line + 1 if mark else 1, WHOLE_FILE, f"is not YAML from here on{told}")]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        wrong = (
            "is not one YAML document: a second one, or a name after * or ! that nothing defines (quote such a text)"
        )
        return None, [Problem(file, mark.line + 1 if mark else 1, WHOLE_FILE, wrong)]
    except yaml.YAMLError:
        line = next(
            (n for n, part in enumerate(text.split("\n"), 1) if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", part)), 1
        )
        return None, [Problem(file, line, WHOLE_FILE, "holds a character that YAML does not allow")]
    except (RecursionError, _TooLarge):
        return None, [Problem(file, 1, WHOLE_FILE, "is nested too deeply or repeats itself too often")]
    return tree, reader.problems


class _TooLarge(Exception):
    """Aliases of aliases, a small file that means an enormous one; or mappings in mappings without end."""


def _limit_depth(events: "Iterable[Event]") -> None:
    """Raises _TooLarge. libyaml's composer calls itself for each level, and a few ten thousand of them kill Python."""
    from yaml.events import CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in events:
        if isinstance(event, CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _TooLarge
        elif isinstance(event, CollectionEndEvent):
            depth -= 1


class _Reader:
    """Turns nodes into items; collects what is wrong with their shape."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._count = 0

    def item(self, node: "Node", path: PathOfKey, line: int, above: tuple[int, ...]) -> Item:
        from yaml.nodes import MappingNode, SequenceNode

        self._count += 1
        if self._count > MAX_ITEMS:
            raise _TooLarge
        if id(node) in above:
            self._problem(line, path, "contains itself")
            return Item(line, None)
        if node.tag not in PLAIN_TAGS:
            self._problem(line, path, "has a YAML tag; a text that begins with ! needs quotes")
            return Item(line, None)
        above = (*above, id(node))
        if isinstance(node, MappingNode):
            return Item(line, self._mapping(node, path, above))
        if isinstance(node, SequenceNode):
            return Item(line, self._list(node, path, above))
        return self._scalar(node, line)

    def _scalar(self, node: Any, line: int) -> Item:
        plain = not node.style
        return Item(line, None if plain and node.tag == CORE + "null" else node.value, plain)

    def _list(self, node: "SequenceNode", path: PathOfKey, above: tuple[int, ...]) -> list[Item]:
        children = enumerate(node.value)
        return [self.item(child, (*path, at), child.start_mark.line + 1, above) for at, child in children]

    def _mapping(self, node: "MappingNode", path: PathOfKey, above: tuple[int, ...]) -> dict[str, Item]:
        merged: dict[str, Item] = {}
        own: dict[str, Item] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == CORE + "merge":
                merged = {**self._merge(value, path, line, above), **merged}
            elif not isinstance(key.value, str) or key.tag not in PLAIN_TAGS or not key.value:
                self._problem(line, path, "has a key that is not a plain text")
            elif key.value in own:
                first = own[key.value].line
                self._problem(line, (*path, key.value), f"is given twice, first in line {first}")
            else:
                own[key.value] = self.item(value, (*path, key.value), line, above)
        return {**merged, **own}

    def _merge(self, node: "Node", path: PathOfKey, line: int, above: tuple[int, ...]) -> dict[str, Item]:
        """What `<<` brings in; of several mappings the first wins, and the mapping's own keys win over all."""
        merged: dict[str, Item] = {}
        for part in node.value if node.tag == CORE + "seq" else [node]:
            brought = self.item(part, path, line, above).value
            if isinstance(brought, dict):
                merged = {**brought, **merged}
            else:
                self._problem(line, path, "merges something with << that is not a mapping")
        return merged

    def _problem(self, line: int, path: PathOfKey, message: str) -> None:
        self.problems.append(Problem(self.file, line, dotted(path), message))
