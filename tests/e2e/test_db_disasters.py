"""The runbook's disasters of databases from end to end, by the very commands that stand there, with a real server."""

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resticwrap.host.sealing import AgeSealing
from resticwrap.services import kit as kits
from tests import docs
from tests.conftest import MakeLab
from tests.handmade import cheap_age
from tests.integration.test_kit import PHRASE, lose_everything, phrase
from tests.lab import Lab
from tests.servers.postgres import Postgres

ROWS = 3000


@dataclass
class School:
    """A lab with the database of a running application, which is backed up, and its server."""

    lab: Lab
    server: Postgres
    name: str

    def ask(self, sql: str, *values: Any) -> list[Any]:
        """As an application does."""
        with self.server.admin(self.name) as connection:
            found = connection.execute(sql, values)
            return found.fetchall() if found.description else []

    def cards(self) -> list[Any]:
        """All that must be as it was."""
        return self.ask("SELECT id, name FROM agent_cards ORDER BY id") + self.ask("SELECT * FROM notes ORDER BY id")

    def typed(self, line: str, code: int = 0) -> str:
        """What `rw` says to a line of the runbook."""
        return self.lab.rw(*shlex.split(line)[1:], code=code).out

    def shell(self, *lines: str) -> str:
        """Run what a person types; `rw` is the one that is tested."""
        folder = self.lab.folder.parent / "bin"
        folder.mkdir(exist_ok=True)
        rw = folder / "rw"
        rw.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m resticwrap "$@"\n')
        rw.chmod(0o755)
        env = {**self.lab.env, "PATH": f"{folder}:{self.lab.env['PATH']}"}
        done = subprocess.run(["bash", "-ec", "\n".join(lines)], env=env, capture_output=True, cwd=folder, check=False)
        assert done.returncode == 0, (lines, done.stdout.decode(), done.stderr.decode())
        return done.stdout.decode()


@pytest.fixture
def school(make_lab: MakeLab, postgres_server: Postgres) -> Iterator[School]:
    """Cards and what is said of them, referring to each other; the policy leads to it by a variable."""
    name = postgres_server.database()
    with postgres_server.admin(name) as connection:
        connection.execute("CREATE TABLE agent_cards (id int PRIMARY KEY, name text UNIQUE)")
        connection.execute("CREATE TABLE notes (id int PRIMARY KEY, card int REFERENCES agent_cards ON DELETE CASCADE)")
        connection.execute(f"INSERT INTO agent_cards SELECT n, 'card ' || n FROM generate_series(1, {ROWS}) n")
        connection.execute(f"INSERT INTO notes SELECT n, n % 50 + 1 FROM generate_series(1, {ROWS}) n")
    source = {"type": "postgres", "url": "${APP_DB_URL}"}
    lab = make_lab("local", domains={})
    lab.domains = {"app_db": {"layer": "serving", "priority": "P0", "source": source}}
    lab.env["APP_DB_URL"] = postgres_server.url(name, user=postgres_server.user)
    lab.write_policies()
    lab.rw("backup")
    yield School(lab, postgres_server, name)
    postgres_server.drop(name)


def test_the_server_is_gone(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kit and a new server as all that there is: its dump comes back, and the command that is printed loads
    it into the new server, where all is as it was."""
    lab, before = school.lab, school.cards()
    kit, place = lab.folder.parent / "teaching.kit", lab.folder.parent / "recovered"
    monkeypatch.setattr(AgeSealing, "seal", lambda _, plain, passphrase: cheap_age(plain, passphrase))
    with lab.house() as built:
        kits.export(built.context, kit, PHRASE)
    school.server.drop(school.name)
    lose_everything(lab)
    done = lab.json("kit", "restore", str(kit), "--to", str(place), "--passphrase-file", phrase(lab))
    (one,) = done["domains"]
    assert not one["failures"] and one["loaded"] is None and b"card 77" in (place / "system" / "app_db").read_bytes()
    assert "app_db: what is back is a dump. Its command below loads it." in done["notes"]
    (load,) = [line for line in done["next"] if "rw db restore app_db" in line]
    school.shell(load)
    assert school.cards() == before and len(before) == 2 * ROWS


def test_one_record(school: School, tmp_path: Path) -> None:
    """By the lines of the runbook: a card with its notes comes back as it was, next to what was written since."""
    before, at = school.cards(), datetime.now(UTC)
    school.ask("DELETE FROM agent_cards WHERE name = 'card 7'")
    school.ask("INSERT INTO agent_cards VALUES (0, 'written since')")
    assert len(school.cards()) < len(before)
    files = {f"{name}.csv": str(tmp_path / f"{name}.csv") for name in ("cards", "notes")}
    for line in steps("One record of a database", {"$AT": at.isoformat(), "'X'": "'card 7'", **files}):
        school.typed(line)
    assert school.cards() == [(0, "written since"), *before]


def test_emptied(school: School) -> None:
    """By the lines of the runbook: what was there is looked at beside, then it is live again; what was live is kept,
    and a snapshot has it too. Backups that went on meanwhile have taken nothing away."""
    lab, before = school.lab, school.cards()
    at = datetime.now(UTC)
    school.ask("DELETE FROM agent_cards")
    school.ask("INSERT INTO agent_cards VALUES (1, 'only this was written since')")
    lab.rw("backup")
    assert "app_db" in lab.json("forget", "--dry-run")["plan"]["suspended"]
    beside = f"{school.name}_then"
    history, load, replace, listed = steps("A database was emptied", {"$AT": at.isoformat(), "app_db_then": beside})
    school.typed(history)
    school.typed(load)
    assert School(lab, school.server, beside).cards() == before and school.cards() != before
    said = school.typed(replace)
    assert school.cards() == before
    assert "rw db accept restore_" in school.typed(listed)
    (accept,) = {" ".join(line.split()[:4]) for line in said.splitlines() if "rw db accept restore_" in line}
    school.typed(accept)
    lab.rw("forget", "--looked", "app_db")
    lab.rw("drill", "l2", "--no-canary")
    assert school.cards() == before and not lab.json("forget", "--dry-run")["plan"]["suspended"]
    school.server.drop(beside)


def steps(section: str, stand_for: Mapping[str, str]) -> list[str]:
    """The commands that stand in a section of the runbook, with the test's own names in them."""
    (block,) = [one for one in docs.blocks("docs/runbook.md") if one.section == section]
    found = [line for line in docs.shell_lines(block) if line.startswith("rw ")]
    for name, own in stand_for.items():
        found = [line.replace(name, own) for line in found]
    return found
