"""Snapshots of former days: bare restic with the tags of `rw` and a time of its own, known to the catalogue."""

from collections.abc import Mapping
from datetime import datetime

import yaml

from resticwrap.model.snapshot import SnapshotType
from tests.lab import Lab


def backed_up(lab: Lab, domain: str, time: datetime, type: SnapshotType = "full", *, complete: bool = True) -> str:
    """A snapshot of a domain as it is now, made as if at `time`; returns its id."""
    tags = [
        f"domain={domain}", "layer=raw", "priority=P0", f"job=snapshot_{time:%Y%m%dT%H%M%SZ}_aaaaaa", f"type={type}",
        "tier=hot", "expire-after-days=30",
    ]  # fmt: skip
    before = ids(lab)
    when = f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
    tagged = [f"--tag={tag}" for tag in tags]
    lab.bare("backup", "--host", "lab", "--time", when, *tagged, str(lab.data / domain))
    (made,) = ids(lab) - before
    with lab.house() as built:
        known = [one for one in built.context.hot.snapshots(no_cache=True) if one.id == made]
        built.catalog.put_snapshots("main", "hot", [(one, complete) for one in known])
    return made


def ids(lab: Lab, tier: str = "hot") -> set[str]:
    """The snapshots that a repository has, by current id."""
    with lab.house() as built:
        return {one.id for one in built.context.repositories[tier].snapshots(no_cache=True)}


def originals(lab: Lab, repository: str, **tags: str) -> set[str]:
    """The same by original id; those with these tags only."""
    with lab.house() as built:
        return {
            one.original
            for one in built.context.repositories[repository].snapshots(no_cache=True)
            if {f"{key}={value}" for key, value in tags.items()} <= set(one.raw_tags)
        }


def keep_in_hot(lab: Lab, keep: Mapping[str, object]) -> None:
    """Let hot keep only that, and cold one a day for as long as it goes back."""
    policy = lab.folder / "policies" / "tiers.yaml"
    content = yaml.safe_load(policy.read_text())
    content["tiers"]["hot"]["keep"] = dict(keep)
    content["tiers"]["cold"]["keep"] = {"within_daily": "180d"}
    policy.write_text(yaml.safe_dump(content))
