"""The grammar of snapshot tags, written and read side by side: `key=value`, one of each key."""

import re
from collections.abc import Sequence

import msgspec

from resticwrap.model.base import convert
from resticwrap.model.snapshot import NAME, Tags

KEYS = {
    "domain": "domain",
    "layer": "layer",
    "priority": "priority",
    "job": "job",
    "type": "type",
    "tier": "tier",
    "expire-after-days": "expire_after_days",
    "base": "base",
}
OPTIONAL = frozenset({"base"})
"""Keys that only some snapshots have."""


def tags_for(tags: Tags) -> list[str]:
    """The tags as restic takes them, in a fixed order. Commas would split a tag, so they are refused."""
    pairs = [
        f"{key}={value}" for key, field in KEYS.items() if (value := getattr(tags, field)) != "" or key not in OPTIONAL
    ]
    if any("," in pair or pair != pair.strip() for pair in pairs):
        raise ValueError("a tag must not hold a comma, nor begin or end with a space")
    return pairs


def parse_tags(tags: Sequence[str]) -> Tags | None:
    """What the tags say; None where they are not all there or not ours. Tags of other people are ignored.

    A domain becomes the name of a folder, so one that no policy could have (a path above all) is not ours.
    """
    found: dict[str, object] = {}
    for tag in tags:
        key, equals, value = tag.partition("=")
        if not equals or key not in KEYS:
            continue
        if KEYS[key] in found:
            return None
        found[KEYS[key]] = value
    try:
        days = found.get("expire_after_days")
        if isinstance(days, str):
            if not (days.isascii() and days.isdigit()):
                return None
            found["expire_after_days"] = int(days)
        ours = convert(Tags, found)
    except (msgspec.ValidationError, ValueError):
        return None
    return ours if re.fullmatch(NAME, ours.domain) else None
