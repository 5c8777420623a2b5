"""How two databases of MySQL or MariaDB are exchanged, which have no statement for that. Pure: what is there in, SQL
out.

Tables change their database by one `RENAME TABLE`, which is atomic, also over a crash (MariaDB since 10.6, MySQL since
8.0). Triggers keep a table from being renamed so, and views, routines and events cannot be. So before anything is
touched, the text of all of these is written into a marker, a table in a database of ours; it is renamed together with
the tables. Whatever is cut off, its name says which of the two states it is, and its rows hold what it takes to get to
the end (the tables were renamed) or back to the beginning (they were not).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from resticwrap.planning.dumps_mysql import quoted

OURS = "rw_exchange"
"""The database that is there while an exchange is at work, or was cut off."""
BEGUN, RENAMED = "begun", "renamed"
LOCK = "resticwrap exchange"


@dataclass(frozen=True)
class Parts:
    """What a database holds besides rows: names of tables, triggers, views, routines (with their kind) and events; and
    the SQL that makes its triggers, and that of all the others."""

    tables: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    routines: tuple[tuple[str, str], ...] = ()
    events: tuple[str, ...] = ()
    sql_triggers: str = field(default="", repr=False)
    sql_rest: str = field(default="", repr=False)


@dataclass(frozen=True)
class Swap:
    """The names of an exchange. `kept` empty: nothing is live, so `beside` takes the name alone."""

    live: str
    beside: str
    kept: str


def locked() -> str:
    """Fails where another exchange is at work."""
    return f"SELECT IF(GET_LOCK('{LOCK}', 10) = 1, 1, (SELECT 1 UNION SELECT 2));\n"


def marked(swap: Swap, options: str, texts: dict[str, str]) -> str:
    """Make the marker with all that it takes to go on or back, then the empty database that tables are moved into.
    `texts` are literals of SQL."""
    marker = f"{quoted(OURS)}.{quoted(BEGUN)}"
    return (
        f"CREATE DATABASE {quoted(OURS)};\n"
        f"CREATE TABLE {marker} (what VARCHAR(40) PRIMARY KEY, text LONGTEXT NOT NULL)"
        " ENGINE=InnoDB CHARACTER SET utf8mb4;\n"
        f"INSERT INTO {marker} VALUES {', '.join(f'({name!r}, {text})' for name, text in texts.items())};\n"
        f"CREATE DATABASE {quoted(swap.kept or swap.live)} {options};\n"
    )


def renamed(swap: Swap, live: Parts, beside: Parts) -> str:
    """Drop what keeps tables from being renamed, then rename them all, and the marker with them."""
    names = [(swap.live, swap.kept, table) for table in live.tables]
    names += [(swap.beside, swap.live, table) for table in beside.tables]
    moves = [f"{quoted(one)}.{quoted(table)} TO {quoted(other)}.{quoted(table)}" for one, other, table in names]
    moves.append(f"{quoted(OURS)}.{quoted(BEGUN)} TO {quoted(OURS)}.{quoted(RENAMED)}")
    return (
        without_triggers(swap.live, live)
        + without_triggers(swap.beside, beside)
        + f"SET SESSION foreign_key_checks = 0, lock_wait_timeout = 60;\nRENAME TABLE {', '.join(moves)};\n"
    )


def without_triggers(name: str, parts: Parts) -> str:
    """Drop the triggers of a database."""
    return "".join(f"DROP TRIGGER IF EXISTS {quoted(name)}.{quoted(trigger)};\n" for trigger in parts.triggers)


def without_rest(name: str, parts: Parts) -> str:
    """Drop the views, routines and events of a database."""
    lines = [f"DROP VIEW IF EXISTS {quoted(name)}.{quoted(view)};\n" for view in parts.views]
    lines += [f"DROP {kind} IF EXISTS {quoted(name)}.{quoted(routine)};\n" for routine, kind in parts.routines]
    lines += [f"DROP EVENT IF EXISTS {quoted(name)}.{quoted(event)};\n" for event in parts.events]
    return "".join(lines)


def finished(swap: Swap, there: dict[str, Parts], texts: dict[str, str]) -> str:
    """After the tables were renamed: give both databases their views, triggers, routines and events; forget `beside`.
    `there` is what they have of these by now. May be run again from its beginning."""
    lines = []
    for name, side in ((swap.live, "beside"), (swap.kept, "live")):
        if not name:
            continue
        parts = there[name]
        lines.append(without_triggers(name, parts) + without_rest(name, parts))
        lines.append(f"USE {quoted(name)};\n{texts[f'{side}_rest']}\n{texts[f'{side}_triggers']}\n")
    lines.append(f"DROP DATABASE IF EXISTS {quoted(swap.beside)};\n")
    lines.append(f"DROP DATABASE {quoted(OURS)};\n")
    return "".join(lines)


def undone(swap: Swap, there: dict[str, Parts], texts: dict[str, str]) -> str:
    """Before the tables were renamed: give both their triggers back, and forget the database that they were to be moved
    into, where that is ours: empty."""
    lines = []
    for name, side in ((swap.live, "live"), (swap.beside, "beside")):
        if name == swap.live and not swap.kept:
            continue
        lines.append(f"{without_triggers(name, there[name])}USE {quoted(name)};\n{texts[f'{side}_triggers']}\n")
    made = swap.kept or swap.live
    if there[made] == Parts():
        lines.append(f"DROP DATABASE IF EXISTS {quoted(made)};\n")
    lines.append(f"DROP DATABASE {quoted(OURS)};\n")
    return "".join(lines)


def killed(ids: Sequence[str]) -> str:
    """Disconnect these; one that has gone is no error to a server, as `KILL` of it would be."""
    return "".join(f"KILL {int(one)};\n" for one in ids)
