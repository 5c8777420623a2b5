"""Names of MySQL databases are exchanged by one statement, and each half of it can be ended as often as it takes."""

import pytest

from resticwrap.planning import exchange_mysql as planning
from resticwrap.planning.exchange_mysql import Parts, Swap

SWAP = Swap("app", "rw_beside", "app_before")
OLD = Parts(tables=("cards", "odd`name"), triggers=("t1",), views=("v1",), routines=(("p1", "PROCEDURE"),))
NEW = Parts(tables=("cards",), triggers=("t1",), events=("e1",))
TEXTS = {f"{side}_{what}": f"-- {what} of {side}" for side in ("live", "beside") for what in ("triggers", "rest")}


def statements(sql: str, word: str) -> list[str]:
    return [line for line in sql.splitlines() if line.startswith(word)]


def test_one_statement_renames_all_of_both_and_the_marker() -> None:
    """So that its name tells which of the two states it is, whenever the server dies; triggers are off by then."""
    sql = planning.renamed(SWAP, OLD, NEW)
    (rename,) = statements(sql, "RENAME")
    assert rename == (
        "RENAME TABLE `app`.`cards` TO `app_before`.`cards`, `app`.`odd``name` TO `app_before`.`odd``name`, "
        "`rw_beside`.`cards` TO `app`.`cards`, `rw_exchange`.`begun` TO `rw_exchange`.`renamed`;"
    )
    assert sql.index("DROP TRIGGER IF EXISTS `app`.`t1`") < sql.index("DROP TRIGGER IF EXISTS `rw_beside`.`t1`")
    assert sql.index("DROP TRIGGER IF EXISTS `rw_beside`.`t1`") < sql.index("RENAME")


def test_what_to_go_back_by_is_written_first() -> None:
    """The marker with all texts, then the empty database, then anything of the live one."""
    sql = planning.marked(SWAP, "CHARACTER SET utf8mb4", {"live_rest": "'text'"})
    order = [
        "CREATE DATABASE `rw_exchange`",
        "CREATE TABLE",
        "INSERT INTO",
        "CREATE DATABASE `app_before` CHARACTER SET",
    ]
    assert [sql.index(word) for word in order] == sorted(sql.index(word) for word in order)
    assert "('live_rest', 'text')" in sql


def test_the_end_may_be_begun_again() -> None:
    """What was made by then is made anew: each gets what the other had, and the marker goes last."""
    there = {"app": Parts(triggers=("t1",), events=("e1",)), "app_before": Parts(views=("v1",))}
    sql = planning.finished(SWAP, there, TEXTS)
    live, kept = sql.split("USE `app_before`;")
    assert "-- rest of beside\n-- triggers of beside" in live and "-- rest of live\n-- triggers of live" in kept
    assert live.index("DROP EVENT IF EXISTS `app`.`e1`") < live.index("USE `app`;")
    assert "DROP VIEW IF EXISTS `app_before`.`v1`" in live
    assert statements(sql, "DROP DATABASE") == ["DROP DATABASE IF EXISTS `rw_beside`;", "DROP DATABASE `rw_exchange`;"]


@pytest.mark.parametrize("made", [Parts(), Parts(tables=("cards",))])
def test_the_way_back_removes_nothing_but_what_is_empty(made: Parts) -> None:
    """A database of the wanted name that holds anything is not ours, and neither live nor beside is ever dropped."""
    sql = planning.undone(SWAP, {"app": OLD, "rw_beside": NEW, "app_before": made}, TEXTS)
    dropped = statements(sql, "DROP DATABASE")
    ours = [] if made.tables else ["DROP DATABASE IF EXISTS `app_before`;"]
    assert dropped == [*ours, "DROP DATABASE `rw_exchange`;"]
    assert "-- triggers of live" in sql and "-- triggers of beside" in sql and "-- rest" not in sql


def test_where_nothing_was_live() -> None:
    """What stands beside takes the name alone; on the way back the name is free again."""
    alone = Swap("app", "rw_beside", "")
    assert "TO `app_before`" not in planning.renamed(alone, Parts(), NEW)
    assert "-- rest of live" not in planning.finished(alone, {"app": Parts()}, TEXTS)
    back = planning.undone(alone, {"app": Parts(), "rw_beside": NEW}, TEXTS)
    assert "USE `app`" not in back and "DROP DATABASE IF EXISTS `app`;" in back
