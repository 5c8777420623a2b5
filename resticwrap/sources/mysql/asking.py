"""Short questions to MySQL or MariaDB."""

from collections.abc import Sequence

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.planning.exchange_mysql import OURS
from resticwrap.sources.mysql.access import ASK, Access, failure

ITS_OWN = {"information_schema", "mysql", "performance_schema", "sys", OURS}
"""Databases that a server needs for itself, and the one that we make while others are exchanged."""
ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


def literal(text: str) -> str:
    """A text as a literal of SQL, where backslashes escape (see `Asking.run`)."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0").replace("\n", "\\n")
    return f"'{escaped}'"


class Asking:
    """Questions to one server, each by a client of its own."""

    def __init__(self, access: Access, place: str, cancel: Cancel) -> None:
        self._access, self._place = access, place
        self._feeding = access.feeding(cancel)

    @property
    def place(self) -> str:
        return self._place

    def run(self, sql: str, *words: str, timeout: float = ASK) -> bytes:
        """What the client writes. Raises DatabaseUnavailable, DatabaseRefused, and LoadFailed for what it makes of the
        SQL. In it a backslash escapes, whatever the server's sql_mode says."""
        text = f"SET SESSION sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '');\n{sql};\n"
        result = self._feeding.asked(
            self._access.client("--skip-column-names", *words), text.encode("utf-8", "surrogateescape"), timeout
        )
        if result.code:
            raise failure(result.stderr, self._place, lambda said: errors.LoadFailed(f"{self._place} says: {said}."))
        return result.stdout

    def rows(self, sql: str, *words: str) -> Sequence[Sequence[str | None]]:
        """The rows that a question gives. NULL and the text `NULL` are one here: ask for neither."""
        text = self.run(sql, *words).decode("utf-8", "surrogateescape")
        lines = text.removesuffix("\n").split("\n") if text else []
        return [[_value(cell) for cell in line.split("\t")] for line in lines]

    def one(self, sql: str) -> str:
        """The one value of a question that gives one; an empty text where it gives none."""
        rows = self.rows(sql)
        return rows[0][0] or "" if rows else ""

    def version(self) -> str:
        """Such as `10.11.19`."""
        return self.one("SELECT VERSION()").partition("-")[0]

    def databases(self) -> Sequence[str]:
        """The names of all databases that are somebody's."""
        names = [row[0] or "" for row in self.rows("SELECT schema_name FROM information_schema.schemata ORDER BY 1")]
        return [name for name in names if name not in ITS_OWN]


def _value(cell: str) -> str | None:
    if cell == "NULL":
        return None
    if "\\" not in cell:
        return cell
    out, escaped = [], False
    for char in cell:
        if escaped:
            out.append(ESCAPES.get(char, char))
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            out.append(char)
    return "".join(out)
