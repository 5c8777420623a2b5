"""Where the object of a key lies in a domain: by the policy's pattern, else by the last name of its path."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

KEY = "{key}"
NAMED = 20
LIKE = 2000
"""How many names are kept for suggestions."""


class Found(NamedTuple):
    """What a key may mean: paths below the domain, and names like it where there is none. `more`: there were others."""

    paths: tuple[bytes, ...]
    like: tuple[str, ...] = ()
    more: int = 0


def literal(pattern: str, key: str) -> str | None:
    """The one path that a pattern without wildcards means; None where it has some."""
    return None if "*" in pattern or "?" in pattern else pattern.replace(KEY, key)


def under(pattern: str) -> str:
    """The folder below which a pattern's objects lie: its first names that are neither wildcards nor the key."""
    names = pattern.split("/")[:-1]
    fixed = []
    for name in names:
        if any(sign in name for sign in "*?{"):
            break
        fixed.append(name)
    return "/".join(fixed)


def find(pattern: str | None, key: str, entries: Iterable[tuple[bytes, bool]]) -> Found:
    """Look for a key among the paths of a domain (relative, each with whether it is a folder), in one pass.

    With a pattern, what matches it: `*` and `?` stand for parts of one name, `**` for any number of names. Without one,
    a file or folder whose last name is the key, else one whose name without its extension is. What lies inside of
    another that is found is part of that.
    """
    matcher = _matcher(pattern, re.escape(key)) if pattern else None
    anything = _matcher(pattern, "(?P<key>[^/]+)") if pattern else None
    exact, stems, like = _Kept(), _Kept(), dict[str, None]()
    for path, is_folder in entries:
        text = path.decode("utf-8", "surrogateescape")
        if matcher is not None and anything is not None:
            if matcher.fullmatch(text):
                exact.add(path)
            elif not exact.paths and len(like) < LIKE and (other := anything.fullmatch(text)):
                _near(key, other["key"], like)
            continue
        name = text.rpartition("/")[2]
        stem = name if is_folder else stem_of(name)
        if name == key:
            exact.add(path)
        elif stem == key:
            stems.add(path)
        elif not exact.paths and len(like) < LIKE:
            _near(key, stem, like)
    kept = exact if exact.paths else stems
    if kept.paths:
        return Found(tuple(kept.paths[:NAMED]), more=max(len(kept.paths) - NAMED, 0) + kept.more)
    return Found((), tuple(difflib.get_close_matches(key, like, n=5, cutoff=0.5)))


class _Kept:
    def __init__(self) -> None:
        self.paths: list[bytes] = []
        self.more = 0

    def add(self, path: bytes) -> None:
        # Parents come before children.
        if any(path.startswith(other + b"/") for other in self.paths):
            return
        if len(self.paths) < NAMED:
            self.paths.append(path)
        else:
            self.more += 1


def stem_of(name: str) -> str:
    """A name without its extension; one that begins with a dot has none."""
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name


def _near(key: str, name: str, like: dict[str, None]) -> None:
    """Keep a name that may have been meant."""
    small, other = key.casefold(), name.casefold()
    if small[:3] == other[:3] or small in other or other in small:
        like[name] = None


def _matcher(pattern: str, key: str) -> "re.Pattern[str]":
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\{key\})", pattern.strip("/"))
    meant = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", KEY: key}
    first = True
    built = []
    for part in parts:
        if part == KEY and not first and "?P<" in key:
            built.append("(?P=key)")
            continue
        first = first and part != KEY
        built.append(meant.get(part) or re.escape(part))
    return re.compile("".join(built), re.DOTALL)


def shown(paths: Sequence[str], more: int) -> str:
    """Candidates as a sentence names them."""
    return ", ".join(paths) + (f" and {more} more" if more else "")
