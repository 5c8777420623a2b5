"""Whether a backup's size, or what changed in it, is unlike what its domain was before."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from statistics import median

from resticwrap.model.alerting import Unusual
from resticwrap.model.base import Time
from resticwrap.model.job import COMPLETE
from resticwrap.model.policy import Guard
from resticwrap.model.reports import HistoryRow

SCALE = 1.4826
"""What the median distance of a normal distribution is multiplied by to be its standard deviation."""
WINDOW = timedelta(days=1)
LITTLE = 1 << 20
"""A growth of fewer bytes is told of no domain: the small ones double every day."""


def unusual(rows: Sequence[HistoryRow], rule: Unusual, *, may_be_empty: bool) -> str:
    """What is unusual about the size of the newest complete look, empty where nothing is. `rows` are newest first.

    Nothing where there was something before is always told, and for as long as that is known. Else the size must lie
    further from the median of those before it than `rule.share` of that median, and further than `rule.factor` times
    their usual distance from it: the median absolute deviation, scaled to a standard deviation. Of sizes that never
    differed that is none, and then the share alone counts. A growth by less than a megabyte is never told.
    """
    sizes = [row.size for row in rows if row.outcome in COMPLETE]
    if len(sizes) < 2:
        return ""
    newest, before = sizes[0], sizes[1:]
    middle = median(before)
    if newest == 0:
        # Not the median: a few backups of nothing would make that the usual size, and the alert would end by itself.
        held = next((size for size in before if size), 0)
        return "" if may_be_empty or not held else f"the newest backup holds nothing, and there were {held:,} bytes"
    if len(before) < rule.runs or middle == 0:
        return ""
    usual = SCALE * median(abs(size - middle) for size in before)
    off = abs(newest - middle)
    if off <= rule.share * middle or off <= rule.factor * usual or middle < newest < middle + LITTLE:
        return ""
    return f"the newest backup holds {newest:,} bytes, {middle:,.0f} are usual (the median of {len(before)} before)"


def mass_change(
    rows: Sequence[HistoryRow], files: int | None, guard: Guard, looked: Time | None, now: Time
) -> tuple[str, Time] | None:
    """What changed too much in one backup of the last day, and when; None where nothing did, or somebody has looked
    since. `files` are there now: counted back from there, each backup tells how many there were before it."""
    after = files
    for row in rows:
        if row.outcome not in COMPLETE or after is None:
            continue
        before = after - row.files_new + row.files_removed
        old = row.time < now - WINDOW or (looked is not None and row.time <= looked)
        touched = row.files_changed + row.files_removed
        if not old and before >= guard.least:
            if touched > guard.changed * before:
                return f"{touched:,} of {before:,} files changed or went in {row.job}", row.time
            if after < (1 - guard.shrunk) * before:
                return f"of {before:,} files {after:,} were left by {row.job}", row.time
        after = before
    return None


def mass_loss(rows: Sequence[HistoryRow], guard: Guard, looked: Time | None, now: Time) -> tuple[str, Time] | None:
    """The same of a database, which is one file: how many of its bytes one backup of the last day left."""
    known = [row for row in rows if row.outcome in COMPLETE and row.size]
    for row, before in pairwise(known):
        if row.time < now - WINDOW or (looked is not None and row.time <= looked):
            return None
        if row.size < (1 - guard.shrunk) * before.size:
            return f"of {before.size:,} bytes {row.size:,} were left by {row.job}", row.time
    return None
