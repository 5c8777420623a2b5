"""Lifecycle rules of a bucket: read them, judge them, say which of ours it should have. Pure: XML in, values out."""

from resticwrap.planning.lifecycle.judge import judge, unsafe
from resticwrap.planning.lifecycle.plan import make_plan, own_ids, same_rules, wanted
from resticwrap.planning.lifecycle.rules import Layout, Provider, Rule, Seen, digest, read

__all__ = [
    "Layout", "Provider", "Rule", "Seen", "digest", "judge", "make_plan", "own_ids", "read", "same_rules", "unsafe",
    "wanted",
]  # fmt: skip
