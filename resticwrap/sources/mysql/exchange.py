"""Exchanges of databases of MySQL and MariaDB, and what becomes of one that was cut off."""

from collections.abc import Callable

from resticwrap import errors
from resticwrap.model.databases import DatabaseHead
from resticwrap.planning import exchange_mysql as planning
from resticwrap.planning.dumps_mysql import quoted
from resticwrap.planning.exchange_mysql import LOCK, OURS, RENAMED, Parts, Swap
from resticwrap.sources.mysql.access import DUMP, Access
from resticwrap.sources.mysql.asking import Asking, literal
from resticwrap.sources.mysql.dump import head_of

DEFINITIONS = (
    "--no-data", "--skip-lock-tables", "--skip-add-locks", "--skip-add-drop-table", "--no-tablespaces",
    "--skip-dump-date", "--loose-set-gtid-purged=OFF", "--loose-column-statistics=0",
)  # fmt: skip
Definitions = Callable[..., str]


class Exchanging:
    """Exchanges on one server. `run` feeds SQL to a client, all in one session; `dump` is what a dump program says."""

    def __init__(self, asking: Asking, run: Callable[[str], None], dump: Definitions) -> None:
        self._asking, self._run, self._dump = asking, run, dump

    def exchange(self, swap: Swap) -> None:
        """As the port says. Triggers of both are off while it lasts: the server has no other way."""
        live = self._parts(swap.live) if swap.kept else Parts()
        beside = self._parts(swap.beside)
        head: DatabaseHead = head_of(self._asking, swap.live if swap.kept else swap.beside)
        texts = {
            "live": swap.live,
            "beside": swap.beside,
            "kept": swap.kept,
            "live_triggers": live.sql_triggers,
            "live_rest": live.sql_rest,
            "beside_triggers": beside.sql_triggers,
            "beside_rest": beside.sql_rest,
        }
        options = " ".join(f"{word} {value}" for word, value in head.options.items())
        self.disconnect(swap.live, swap.beside)
        self._run(
            planning.locked()
            + planning.marked(swap, options, {name: literal(text) for name, text in texts.items()})
            + planning.renamed(swap, live, beside)
            # What the databases have of these now is what they had: nothing but tables was moved.
            + planning.finished(swap, {swap.live: live, swap.kept: Parts()}, texts)
        )

    def disconnect(self, *names: str) -> None:
        """Cut off whoever uses these databases."""
        places = ", ".join(literal(name) for name in names)
        found = self._asking.rows(
            f"SELECT id FROM information_schema.processlist WHERE db IN ({places}) AND id <> CONNECTION_ID()"
        )
        for row in found:
            try:
                self._asking.run(planning.killed([row[0] or ""]))
            except errors.LoadFailed:
                continue  # it has gone by itself

    def settle(self) -> None:
        """Bring exchanges to an end that were cut off: to the end where the tables were renamed, back where not. One
        that is at work is left alone."""
        rows = self._asking.rows(
            "SELECT s.schema_name, COALESCE(t.table_name, '') FROM information_schema.schemata s"
            " LEFT JOIN information_schema.tables t ON t.table_schema = s.schema_name"
            f" WHERE s.schema_name = {literal(OURS)}"
        )
        if not rows or self._asking.one(f"SELECT IS_FREE_LOCK({literal(LOCK)})") != "1":
            return
        marker = rows[0][1] or ""
        found = self._asking.rows(f"SELECT what, text FROM {quoted(OURS)}.{quoted(marker)}") if marker else []
        texts = {row[0] or "": row[1] or "" for row in found}
        if not texts:  # nothing was touched yet
            self._run(planning.locked() + f"DROP DATABASE {quoted(OURS)};\n")
            return
        swap = Swap(texts["live"], texts["beside"], texts["kept"])
        there = {name: self._named(name) for name in (swap.live, swap.beside, swap.kept) if name}
        made = planning.finished if marker == RENAMED else planning.undone
        self._run(planning.locked() + made(swap, there, texts))

    def _named(self, name: str) -> Parts:
        """The names alone."""
        place = literal(name)

        def names(what: str, table: str, schema: str, more: str = "") -> tuple[str, ...]:
            sql = f"SELECT {what} FROM information_schema.{table} WHERE {schema} = {place} {more} ORDER BY 1"
            return tuple(row[0] or "" for row in self._asking.rows(sql))

        kinds = self._asking.rows(
            f"SELECT routine_name, routine_type FROM information_schema.routines WHERE routine_schema = {place}"
            " AND routine_type IN ('PROCEDURE', 'FUNCTION') ORDER BY 1, 2"
        )
        return Parts(
            tables=names("table_name", "tables", "table_schema", "AND table_type <> 'VIEW'"),
            triggers=names("trigger_name", "triggers", "trigger_schema"),
            views=names("table_name", "views", "table_schema"),
            routines=tuple((row[0] or "", row[1] or "") for row in kinds),
            events=names("event_name", "events", "event_schema"),
        )

    def _parts(self, name: str) -> Parts:
        found = self._named(name)
        rest = self._dump("--no-create-info", "--skip-triggers", "--routines", "--events", name)
        if found.views:
            rest += self._dump("--add-drop-table", "--skip-triggers", name, *found.views)
        triggers = self._dump("--no-create-info", "--triggers", name)
        return Parts(
            found.tables, found.triggers, found.views, found.routines, found.events,
            sql_triggers=triggers, sql_rest=rest,
        )  # fmt: skip


def definitions_command(access: Access, *words: str) -> list[str]:
    """The command that writes definitions and no rows."""
    return access.command(DUMP, *DEFINITIONS, *words)
