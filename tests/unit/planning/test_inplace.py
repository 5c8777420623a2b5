"""Which places a look may have seen as the parts of two trees."""

from datetime import UTC, datetime, timedelta

import pytest

from resticwrap.model.swap import Journal, JournalPiece, Phase, Piece, Place
from resticwrap.planning import inplace

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def journal(phase: Phase, live: bytes = b"/srv/data/sub", changed: float = -1) -> Journal:
    """An in-place restore of one place, last heard of so many hours after NOW."""
    piece = Piece(domain="d", snapshot="aa", inside=b"data", root=b"/srv/data", live=live, size=1)
    place = Place(live=live, whole=True, container=b"/srv/data")
    return Journal(
        job="restore_J", target="main", phase=phase, started_at=NOW, changed_at=NOW + timedelta(hours=changed),
        pieces=(JournalPiece(piece=piece, place=place, stage=b"/srv/data/.rw-restore-J"),),
    )  # fmt: skip


@pytest.mark.parametrize("phase", ["exchanging", "exchanged", "reverting", "undoing"])
@pytest.mark.parametrize("root", [b"/srv", b"/srv/data", b"/srv/data/sub", b"/srv/data/sub/deep"])
def test_unfinished(phase: Phase, root: bytes) -> None:
    """While an exchange is not finished what is live there, around it or in it may be a mix, however old it is."""
    ((place, why),) = inplace.mixed([journal(phase)], root, NOW)
    assert place == "/srv/data/sub" and "restore_J" in why and phase in why


@pytest.mark.parametrize("phase", ["staging", "cleaning", "failed", "accepting", "accepted"])
def test_live_was_not_touched(phase: Phase) -> None:
    """Not even while it is looked at: the snapshot of what is live is taken in such a phase."""
    assert inplace.mixed([journal(phase, changed=1)], b"/srv/data", NOW) == []


@pytest.mark.parametrize("phase", ["kept", "undone", "reverted"])
def test_finished(phase: Phase) -> None:
    """What was finished before the look is one tree; what was exchanged while it was read is not."""
    assert inplace.mixed([journal(phase)], b"/srv/data", NOW) == []
    ((_, why),) = inplace.mixed([journal(phase, changed=1)], b"/srv/data", NOW)
    assert "while it was read" in why
    assert inplace.mixed([journal(phase, changed=1)], b"/srv/other", NOW) == []
    assert inplace.mixed([journal("exchanging", live=b"/srv/data2")], b"/srv/data", NOW) == []
