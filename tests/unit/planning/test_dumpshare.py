"""What a database's newest dump stored anew."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from resticwrap.model.reports import DumpShare, HistoryRow
from resticwrap.planning.dumpshare import shares

GIB = 1 << 30


def row(domain: str, added: int, size: int = GIB, outcome: str = "ok", snapshot: str | None = "ab") -> HistoryRow:
    """A dump that stored so much."""
    return HistoryRow(
        job="backup_1", kind="backup", time=datetime(2026, 11, 28, tzinfo=UTC), domain=domain, type="incremental",
        outcome=outcome, files_new=0, files_changed=1, files_removed=0, added=added, size=size, duration=1.0,
        snapshot=snapshot,
    )  # fmt: skip


@dataclass
class Case:
    """Rows, newest first, and whether the newest was spoilt."""

    added: list[int]
    size: int = GIB
    spoilt: bool = False


@pytest.mark.parametrize(
    "case",
    [
        Case([GIB // 2]),
        Case([GIB // 50, GIB // 2]),
        Case([GIB // 3, GIB // 50, GIB // 2], spoilt=True),
        Case([GIB // 5, GIB // 2]),
        Case([900_000, 1_000_000], size=1_000_000),
    ],
)
def test_spoilt_is_what_stores_as_much_as_a_first_one(case: Case) -> None:
    """Measured by the most that an earlier dump stored; a first one has nothing to be measured by, a small one is
    always new."""
    rows = [row("app_db", added, case.size) for added in case.added]
    assert list(shares(rows, ["app_db"])) == [DumpShare("app_db", case.added[0], case.size, case.spoilt)]


def test_what_stored_nothing_is_no_dump() -> None:
    """Failed and unchanged runs are passed over, and domains that are no databases."""
    rows = [row("app_db", 0, outcome="failed", snapshot=None), row("files", 5), row("app_db", 7)]
    assert list(shares(rows, ["app_db", "other_db"])) == [DumpShare("app_db", 7, GIB, spoilt=False)]
