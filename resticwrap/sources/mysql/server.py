"""The `Server` port over MariaDB's or MySQL's client programs."""

from collections.abc import Iterable, Iterator, Sequence
from html import unescape
from pathlib import Path

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.host.space import free_bytes
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, PutBack
from resticwrap.planning.dumps_mysql import MysqlDump, identifier, plain, unquoted
from resticwrap.planning.dumps_mysql import quoted as quoted_name
from resticwrap.planning.exchange_mysql import Swap
from resticwrap.sources.feeding import LONG
from resticwrap.sources.mysql.access import Access, failure
from resticwrap.sources.mysql.asking import Asking, literal
from resticwrap.sources.mysql.dump import created, dump_command
from resticwrap.sources.mysql.exchange import Exchanging, definitions_command
from resticwrap.sources.mysql.rows import Counted, Table

POINTED = "Where a row points to one of another table, put that back first: rw db put-back"


class MysqlServer:
    """One server: the live one, or one that is thrown away."""

    def __init__(self, access: Access, place: str, cancel: Cancel) -> None:
        self._access, self._place = access, place
        self._asking = Asking(access, place, cancel)
        self._feeding = access.feeding(cancel)
        self._exchanging = Exchanging(self._asking, self._script, self._definitions)

    @property
    def place(self) -> str:
        return self._place

    def version(self) -> str:
        return self._asking.version()

    def databases(self) -> Sequence[str]:
        """As the port says. An exchange that was cut off is brought to its end first: both names or neither."""
        self._exchanging.settle()
        return self._asking.databases()

    def identity(self, name: str) -> str:
        if name not in self._asking.databases():
            return ""
        return self._asking.one(f"SELECT CONCAT_WS(':', @@hostname, @@port, @@datadir, {literal(name)})")

    def size(self, name: str) -> int | None:
        found = self._asking.one(
            "SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables"
            f" WHERE table_schema = {literal(name)}"
        )
        return int(found)

    def room(self) -> int | None:
        if not any(word.startswith("--socket=") for word in self._access.arguments):
            return None
        try:
            return free_bytes(Path(self._asking.one("SELECT @@datadir")))
        except OSError:
            return None

    def create(self, head: DatabaseHead, name: str) -> None:
        self._asking.run(created(head, name))

    def drop(self, name: str) -> None:
        self._exchanging.settle()
        self._exchanging.disconnect(name)
        self._asking.run(f"DROP DATABASE IF EXISTS {quoted_name(name)}")

    def take_globals(self, body: Iterable[bytes], *, only_missing: bool) -> Sequence[str]:
        there = {f"{row[0]}@{row[1]}" for row in self._asking.rows("SELECT user, host FROM mysql.user")}
        complaints, wanted = [], False
        for line in b"".join(body).decode("utf-8", "surrogateescape").split("\n"):
            sql = line.removeprefix("-- ").removesuffix(";")
            if sql.startswith("CREATE "):
                wanted = not only_missing or _account(sql) not in there
            if not wanted or not sql:
                continue
            try:
                self._asking.run(sql)
            except errors.LoadFailed as error:
                complaints.append(error.message)
        return complaints

    def load(self, name: str, body: Iterable[bytes]) -> None:
        result = self._feeding.fed(self._access.client(f"--database={name}"), body)
        if result.code:
            raise failure(
                result.stderr, self._place, lambda said: errors.LoadFailed(f"{name} was not loaded: {said}.")
            )  # fmt: skip

    def value(self, name: str, sql: str) -> str | None:
        text = self._asking.run(sql, f"--database={name}", "--xml").decode("utf-8", "replace")
        begin = text.find("<field ", text.rfind("<resultset"))
        if begin < 0:
            raise errors.LoadFailed("The query gives no value.")
        if text[begin : text.index(">", begin)].endswith(' xsi:nil="true" /'):
            return None
        begin = text.index(">", begin) + 1
        return unescape(text[begin : text.index("</field>", begin)])

    def facts(self, name: str) -> DatabaseFacts:
        dump = MysqlDump(name)
        for _ in self._dumped(dump_command(self._access, name), dump):
            pass
        if not dump.complete:
            raise errors.DumpFailed(f"{name} cannot be read whole.")
        return dump.facts()

    def tables(self, name: str) -> Sequence[str]:
        rows = self._asking.rows(
            f"SELECT table_name FROM information_schema.tables WHERE table_schema = {literal(name)}"
            " AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"
        )
        return sorted(plain(row[0] or "") for row in rows)

    def rows(self, name: str, table: str, where: str | None) -> Iterator[bytes]:
        found = self._table(name, table)
        yield found.header()
        argv = self._access.client("--raw", "--quick", "--skip-column-names", f"--database={name}")
        yield from self._feeding.streamed(
            argv,
            found.select(where).encode("utf-8", "surrogateescape"),
            lambda result: failure(
                result.stderr, self._place, lambda said: errors.LoadFailed(f"{table} cannot be read: {said}.")
            ),
        )

    def put_back(self, name: str, table: str, csv: Iterable[bytes], *, skip_conflicts: bool, dry_run: bool) -> PutBack:
        found = self._table(name, table)
        found.refuse_unsteady(self._asking)
        counted = Counted(csv)
        body = found.insert(iter(counted), skip_conflicts=skip_conflicts, dry_run=dry_run)
        result = self._feeding.fed(self._access.client("--skip-column-names", f"--database={name}"), body)
        if result.code:
            raise failure(
                result.stderr,
                self._place,
                lambda said: errors.LoadFailed(
                    f"The rows do not fit into {table}, which is as it was: {said}.", hint=POINTED
                ),
            )
        return found.told(result.stdout, counted.rows)

    def exchange(self, live: str, beside: str, kept: str) -> None:
        there = self.databases()
        if beside not in there:
            if (kept or live) in there:
                return  # it was done before
            raise errors.LoadFailed(f"There is no database {beside}.")
        if kept in there:
            raise errors.LoadFailed(f"There is a database {kept} already.")
        self._exchanging.exchange(Swap(live, beside, kept if live in there else ""))

    def _table(self, name: str, table: str) -> Table:
        return Table.of(self._asking, name, unquoted(table))

    def _script(self, sql: str) -> None:
        # Of a file, not of a pipe: of a killed rw the client would take half a statement for the last one.
        text = sql.encode("utf-8", "surrogateescape")
        result = self._feeding.asked(self._access.client("--skip-column-names"), text, LONG)
        if result.code:
            raise failure(result.stderr, self._place, lambda said: errors.LoadFailed(f"{self._place} says: {said}."))

    def _definitions(self, *words: str) -> str:
        dump = MysqlDump("")
        text = b"".join(self._dumped(definitions_command(self._access, *words), dump))
        return text.decode("utf-8", "surrogateescape")

    def _dumped(self, argv: Sequence[str], dump: MysqlDump) -> Iterator[bytes]:
        def failed(result: process.Result) -> errors.Failure:
            return failure(
                result.stderr,
                self._place,
                lambda said: errors.DumpFailed(f"{self._place} cannot be read whole: {said}."),
            )

        try:
            for piece in self._feeding.streamed(argv, b"", failed):
                yield dump.feed(piece)
        except ValueError as error:
            raise errors.DumpFailed(f"What was read of {self._place} is not understood: {error}.") from error


def _account(sql: str) -> str:
    """Whose a statement of `accounts_of` is, as the server lists it; a role has no host."""
    text = sql.encode("utf-8", "surrogateescape")
    user, at = identifier(text, text.index(b"`"))
    return f"{user}@{identifier(text, at + 1)[0] if text[at : at + 2] == b'@`' else ''}"
