"""Which stories stay: the newest, and not for ever."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from resticwrap.planning.stories import began, crowded, superfluous

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
AGES = st.lists(st.integers(-3, 90 * 24), max_size=40)


def ids(ages: list[int]) -> dict[str, datetime]:
    """Stories of jobs that began so many hours ago, by their id."""
    times = [NOW - timedelta(hours=age) for age in ages]
    return {f"snapshot_{time:%Y%m%dT%H%M%SZ}_{number:06x}": time for number, time in enumerate(times)}


@given(AGES, st.integers(1, 30), st.integers(0, 10))
def test_what_stays(ages: list[int], most: int, room: int) -> None:
    """Never too many and never too old; what goes is older than what stays, unless it is too old; asked again, nothing
    goes; and where nothing is crowded, nothing would go."""
    stories = ids(ages)
    gone = superfluous(stories, NOW, timedelta(days=30), most, room)
    stay = stories.keys() - gone
    assert len(gone) == len(set(gone)) and set(gone) <= stories.keys()
    assert len(stay) <= most and all(NOW - stories[job] <= timedelta(days=30) for job in stay)
    young = [job for job in gone if NOW - stories[job] <= timedelta(days=30)]
    assert all(stories[job] <= stories[other] for job in young for other in stay)
    assert not young or len(stories) > most
    assert superfluous({job: stories[job] for job in stay}, NOW, timedelta(days=30), most, room) == []
    assert crowded(list(stories), NOW, timedelta(days=30), most) or not gone


@given(st.integers(-30_000_000_000, 30_000_000_000))
def test_the_id_says_when_it_began(seconds: int) -> None:
    """To the second; what is no id of a job says nothing."""
    time = NOW + timedelta(seconds=seconds)
    assert began(f"drill_{time:%Y%m%dT%H%M%S}Z_3f9c2a") == time
    assert began(f"{time:%Y%m%dT%H%M%S}") is None and began("x_20261399T000000Z_3f9c2a") is None
