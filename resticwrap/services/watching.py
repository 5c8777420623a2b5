"""`rw status --watch`: one look after the other, whatever becomes of a single one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from resticwrap import errors
from resticwrap.model.reports import StatusReport


@dataclass(frozen=True)
class Look:
    """One look: the report, or why there is none. On a failed one `last` is what was seen before."""

    report: StatusReport | None
    failure: errors.Failure | None = None
    last: StatusReport | None = None


def looks(look: Callable[[], StatusReport], wait: Callable[[], bool]) -> Iterator[Look]:
    """For as long as `wait`, which waits for the next one, says so. A catalogue that is locked or away may come back,
    so a Failure ends nothing; raises UsageError and Interrupted."""
    last: StatusReport | None = None
    while True:
        try:
            last = look()
        except (errors.UsageError, errors.Interrupted):
            raise
        except errors.Failure as failure:
            yield Look(None, failure, last)
        else:
            yield Look(last)
        if not wait():
            return
