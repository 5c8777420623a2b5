"""What a restored system leaves to a person."""

from pathlib import Path

from resticwrap.planning.system import Server, next_steps


def test_next_steps_go_home() -> None:
    """Folders that an empty machine lacks are made first, and the state of the new installation is not moved over."""
    place = Path("/srv/new")
    roots = {"exams": Path("/srv/my school/exams"), "rw_state": place / "rw/state"}
    steps = next_steps(place, place / "environment", roots, place / "rw/policies", place / "password", None)
    assert "mkdir -p '/srv/my school' && mv -T /srv/new/system/exams '/srv/my school/exams'" in steps
    assert not any("rw_state" in step for step in steps)


def test_databases_are_loaded_once_their_server_is_up() -> None:
    """By a command that goes as it stands: with the policies that came back, into a database of the name it had."""
    place = Path("/srv/new")
    servers = {"app_db": Server("my app", "postgresql://db/my app", "0a" * 32)}
    servers["all_of_it"] = Server(None, "postgres in db/*", "0b" * 32)
    servers["desk"] = Server("desk.db", "/srv/my desk/desk.db", "0c" * 32, Path("/srv/my desk"))
    steps = next_steps(place, place / "env", {}, place / "policies", place / "password", None, servers)
    own, all_of_it, file = (step.removeprefix(". /srv/new/env && ") for step in steps if "rw db restore" in step)
    assert (
        own == "rw db restore app_db --snapshot 0a0a0a0a0a0a0a0a --into 'my app'   # once postgresql://db/my app is up"
    )
    assert all_of_it == "rw db restore all_of_it --snapshot 0b0b0b0b0b0b0b0b --replace   # once postgres in db/* is up"
    assert file == "mkdir -p '/srv/my desk' && rw db restore desk --snapshot 0c0c0c0c0c0c0c0c --into desk.db"


def test_secrets_go_among_the_other_files_of_their_folder() -> None:
    """After the folder itself, which another domain may bring."""
    place, app = Path("/srv/new"), Path("/srv/my app")
    steps = next_steps(
        place, place / "env", {"app": app}, place / "policies", place / "pw", None, secrets={"config": app}
    )
    move, copy = steps[1:3]
    assert move.endswith("mv -T /srv/new/system/app '/srv/my app'")
    assert copy == "mkdir -p '/srv/my app' && cp -a /srv/new/system/config/. '/srv/my app'"
