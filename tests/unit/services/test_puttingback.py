"""The command that puts rows back, as it is printed."""

from pathlib import Path

from resticwrap.model.databases import PutBack
from resticwrap.services.databases.puttingback import Rows, command, conflict


def test_the_command_goes_as_it_stands() -> None:
    """Where somebody has to say which database it names one; so does what is told of conflicts."""
    assert command(Rows("app_db", "cards", Path("a b.csv"))) == "rw db put-back app_db cards --from 'a b.csv'"
    rows = Rows("whole", '"Cards"', Path("c.csv"), "app")
    assert command(rows) == "rw db put-back whole '\"Cards\"' --from c.csv --database app"
    said = conflict(rows, PutBack(rows=2, inserted=0, conflict_count=1))
    assert said is not None and f"{command(rows)} --skip-conflicts" in (said.hint or "")
