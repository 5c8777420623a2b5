"""Which variables the policies use, and what they are worth here: what another machine must be told."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from resticwrap.settings.crosscheck import ALERTS, DOMAINS, GATES, SCHEDULE, TARGETS, TIERS
from resticwrap.settings.loading import FILES
from resticwrap.settings.tree import Item, PathOfKey, read
from resticwrap.settings.variables import REFERENCE, Variables

OF_HERE = frozenset(
    "RW_STATE_DIR RW_POLICIES RW_CATALOG_URL RW_CATALOG_URL_FILE RESTIC_CACHE_DIR RESTIC_PASSWORD_FILE".split()
)
"""What says where things lie on this machine, and is another matter on another."""


PASSWORD_IN_URL = re.compile(r"://[^/@]*:[^/@]+@|[?&]password=[^&]")


@dataclass(frozen=True, repr=False)
class Used:
    """`values` are those that have one, `secret` the names below `credentials` of the target, and in what leads into
    databases. `literal`: credentials stand in the policies themselves, be it those of another target."""

    values: Mapping[str, str]
    secret: frozenset[str]
    literal: bool


def used(folder: Path, env: Mapping[str, str], target: str) -> Used:
    """The variables of all policies but of what is inside of other targets than this one, and of `alerts.yaml`: whom to
    tell is no part of a recovery, and an installation out of a kit, as a drill makes one, tells nobody."""
    variables = Variables(env, {})
    values: dict[str, str] = {}
    secret: set[str] = set()
    literal = False
    for file in FILES:
        item, _ = read(folder, file)
        if item is None or file == ALERTS:
            continue
        for path, text in _texts(item, ()):
            database = file == DOMAINS and path[2:3] == ("source",) and path[3:] in (("url",), ("password",))
            credential = database or (file == TARGETS and path[2:3] == ("credentials",))
            names = [match[1] for match in REFERENCE.finditer(text) if match[1] and match[1] not in OF_HERE]
            holds = PASSWORD_IN_URL.search(text) if path[-1] == "url" else text
            literal = literal or (credential and not names and bool(holds))
            if file == TARGETS and path[:1] == ("targets",) and path[1:2] != (target,):
                continue
            for name in names:
                try:
                    value = variables.value(name)
                except ValueError:
                    continue
                if value is not None:
                    values[name] = value
                if credential:
                    secret.add(name)
    return Used(values, frozenset(secret), literal)


def _texts(item: Item, path: PathOfKey) -> Iterator[tuple[PathOfKey, str]]:
    value = item.value
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _texts(child, (*path, key))
    elif isinstance(value, list):
        for at, child in enumerate(value):
            yield from _texts(child, (*path, at))
    elif value is not None:
        yield path, value


@dataclass(frozen=True)
class Named:
    """Names of variables: `all` that the policies use, and those that are `plain`, which can hold no secret where they
    are used."""

    all: frozenset[str]
    plain: frozenset[str]


PLAIN_FILES = frozenset({TARGETS, DOMAINS, TIERS, SCHEDULE, GATES})
SECRET_KEYS = frozenset({"credentials", "password", "password_command", "url"})


def named(folder: Path) -> Named:
    """The variables of all policies, those of targets that nothing uses too."""
    names: set[str] = set()
    secret: set[str] = set()
    for file in FILES:
        item, _ = read(folder, file)
        for path, text in _texts(item, ()) if item is not None else ():
            found = {match[1] for match in REFERENCE.finditer(text) if match[1]}
            names |= found
            if file not in PLAIN_FILES or SECRET_KEYS.intersection(map(str, path)):
                secret |= found
    return Named(frozenset(names), frozenset(names - secret))
