"""What a restored system leaves to a person."""

from pathlib import Path

from resticwrap.planning.system import next_steps


def test_next_steps_go_home() -> None:
    """Folders that an empty machine lacks are made first, and the state of the new installation is not moved over."""
    place = Path("/srv/new")
    roots = {"exams": Path("/srv/my school/exams"), "rw_state": place / "rw/state"}
    steps = next_steps(place, place / "environment", roots, place / "rw/policies", place / "password", None)
    assert "mkdir -p '/srv/my school' && mv -T /srv/new/system/exams '/srv/my school/exams'" in steps
    assert not any("rw_state" in step for step in steps)
