"""A dump of PostgreSQL, written as restic reads it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from resticwrap import errors, process
from resticwrap.model.base import from_json
from resticwrap.model.databases import DatabaseFacts, DumpFacts, DumpOrder
from resticwrap.planning.dbrestore import of_a_restore
from resticwrap.planning.dumps import LARGE_OBJECTS, Marks, PostgresDigest, relation_of
from resticwrap.sources.orders import Sink, nonce
from resticwrap.sources.postgres.access import Access, conninfo, newest_binaries, poured
from resticwrap.sources.postgres.heads import ASKED, by_hand, head_of
from resticwrap.sources.postgres.server import MAINTENANCE
from resticwrap.sources.postgres.trouble import VERBOSE, explained

OPENED = """\
SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout',
 'idle_in_transaction_session_timeout', 'transaction_timeout', 'max_parallel_workers_per_gather');
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('row_security', 'jit');
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
"""
"""No limit of a role's may end a dump. Where row security would hide rows, counting fails as dumping does."""
CONDITIONS = """\
SELECT json_build_array(quote_ident(nspname) || '.' || quote_ident(relname), condition)
FROM pg_extension, unnest(extconfig, extcondition) AS of (relation, condition)
JOIN pg_class c ON c.oid = relation JOIN pg_namespace n ON n.oid = relnamespace WHERE condition <> '';
"""
"""Of some tables of extensions a dump holds those rows that were not made by the extension itself."""
LARGE_COUNTED = "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata;\n"
AT_ONCE = 1000
"""So many counts are asked for before any answer is read: all their answers fit into a pipe."""
PATIENCE = "--lock-wait-timeout=600000"
"""Milliseconds. Whoever waits for a table makes others wait behind him."""
ALL = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datallowconn ORDER BY datname;"
UNREADABLE = """\
SELECT string_agg(name, ', ') FROM (
  SELECT quote_ident(nspname) || '.' || quote_ident(relname) AS name FROM pg_class c
  JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'S') AND nspname !~ '^pg_'
  AND nspname <> 'information_schema' AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY 1 LIMIT 5) AS these
"""

ROLES_END, LAST = b"\n-- PostgreSQL database cluster dump complete\n", 1024
"""What pg_dumpall says at the end, and within how many bytes of it."""


class Session:
    """One psql that sees a database as it was when the dump began, and is asked while pg_dump writes."""

    def __init__(self, talk: process.Conversation, access: Access, place: str, name: str) -> None:
        self._talk, self._access, self._place, self._name = talk, access, place, name
        self._mark = nonce().encode()
        self._asked = 0
        self._counts: list[int] = []

    def ask(self, sql: str) -> list[str]:
        """The lines of an answer. Raises what went wrong."""
        return [line.decode("utf-8", "backslashreplace") for line in self._heard(sql.encode())]

    def count(self, relation: str, condition: str = "") -> None:
        """Ask for the rows of a table, without waiting for the answer."""
        self._ask_count(f"SELECT count(*) FROM ONLY {relation} {condition};\n")

    def count_large(self) -> None:
        """Ask for the large objects likewise."""
        self._ask_count(LARGE_COUNTED)

    def counts(self) -> list[int]:
        """All counts that were asked for, in their order."""
        self._counts += map(int, self._heard(b""))
        self._asked = 0
        return self._counts

    def _ask_count(self, sql: str) -> None:
        if self._asked == AT_ONCE:
            self.counts()
        self._say(sql.encode("utf-8", "surrogateescape"))
        self._asked += 1

    def _heard(self, sql: bytes) -> list[bytes]:
        self._say(sql + b"\n\\echo " + self._mark + b"\n")
        heard = self._talk.hear(self._mark)
        if heard is None:
            raise self.why()
        return heard

    def _say(self, text: bytes) -> None:
        try:
            self._talk.say(text)
        except BrokenPipeError:
            raise self.why() from None

    def why(self) -> errors.Failure:
        """What the session ended of."""
        code, said = self._talk.end()
        return explained(
            self._access, code, said, self._place, self._name,
            lambda why: errors.DumpFailed(f"{self._name} cannot be read: {why}."),
        )  # fmt: skip


@contextmanager
def session(access: Access, place: str, name: str) -> Iterator[Session]:
    """A session on a database, for the block."""
    argv = [*access.program("psql"), "-XqAtw", *VERBOSE, "-v", "ON_ERROR_STOP=1", "-d", conninfo(name)]
    with process.converse(argv, env=access.env) as talk:
        yield Session(talk, access, place, name)


def made(order: DumpOrder, sink: Sink) -> DumpFacts:
    """Write a dump of PostgreSQL; returns what it held. Raises DumpFailed and kin."""
    binaries = order.binaries or ("" if order.before else newest_binaries(None, "psql"))
    access = Access(order.env, order.before, binaries, chosen=bool(order.binaries))
    return _Dump(order, access, sink).whole()


class _Dump:
    """One dump at work."""

    def __init__(self, order: DumpOrder, access: Access, sink: Sink) -> None:
        self._order, self._access, self._sink = order, access, sink
        self._marks = Marks("postgres", nonce())
        self._dumper = access
        """With programs that fit the server."""

    def whole(self) -> DumpFacts:
        with session(self._access, self._order.place, (*self._order.databases, MAINTENANCE)[0]) as first:
            (server,) = first.ask("SHOW server_version;")
            (superuser,) = first.ask("SHOW is_superuser;")
            names = self._order.databases or tuple(name for name in first.ask(ALL) if not of_a_restore(name))
        server = server.split()[0]
        self._dumper = self._access.of_version(server)
        self._sink.write(self._marks.first)
        self._globals(names[0], superuser=superuser == "on")
        found = tuple(self._database(name) for name in names)
        facts = DumpFacts(engine="postgres", server=server, client=self._dumper.client(), databases=found)
        self._sink.write(self._marks.line("facts", facts))
        self._sink.write(self._marks.line("end"))
        return facts

    def _globals(self, name: str, *, superuser: bool) -> None:
        """The roles of the server. Only a superuser sees their passwords."""
        self._sink.write(self._marks.line("globals"))
        words = ["-w", "--globals-only", "-l", conninfo(name), *([] if superuser else ["--no-role-passwords"])]
        last = b""

        def take(chunk: memoryview) -> None:
            nonlocal last
            self._sink.write(chunk)
            last = (last + bytes(chunk[-LAST:]))[-LAST:]

        code, said = poured(self._dumper, "pg_dumpall", words, take, self._sink.check)
        if code or ROLES_END not in last:
            raise self._why("pg_dumpall", code, said, name)

    def _database(self, name: str) -> DatabaseFacts:
        digest, seen = PostgresDigest(name), 0
        with session(self._access, self._order.place, name) as asked:
            asked.ask(OPENED)
            (snapshot,) = asked.ask("SELECT pg_export_snapshot();")
            head = head_of("".join(asked.ask(f"SET client_encoding = 'UTF8';\n{ASKED}RESET client_encoding;")))
            conditions = dict(from_json(list[str], line.encode()) for line in asked.ask(CONDITIONS))
            self._sink.write(self._marks.line("database", head) + by_hand(head) + self._marks.line("begin"))

            def take(chunk: memoryview) -> None:
                nonlocal seen
                self._sink.write(chunk)
                digest.feed(chunk)
                for table in digest.begun[seen:]:
                    relation = relation_of(table)
                    asked.count(relation, conditions.get(relation, ""))
                seen = len(digest.begun)

            excluded = [f"--exclude-table-data={pattern}" for pattern in self._order.exclude_data]
            words = ["-w", "-d", conninfo(name), f"--snapshot={snapshot}", PATIENCE, *excluded]
            code, said = poured(self._dumper, "pg_dump", words, take, self._sink.check)
            if code or not digest.complete:
                raise self._why("pg_dump", code, said, name)
            asked.count_large()
            facts = digest.facts()
            _agree(facts, asked.counts())
        return facts

    def _why(self, program: str, code: int, said: str, name: str) -> errors.Failure:
        """Why a program failed. It says no SQLSTATE, so the server is asked for what it may have failed of."""
        found = explained(
            self._access, code, said, self._order.place, name,
            lambda why: errors.DumpFailed(f"{program} failed on {name}: {why}."),
        )  # fmt: skip
        if isinstance(found, errors.DumpFailed):
            with suppress(errors.Failure), session(self._access, self._order.place, name) as asked:
                (unreadable,) = asked.ask(f"{UNREADABLE};")
                if unreadable:
                    return errors.DatabaseRefused(
                        f"{self._order.place} does not let us read {unreadable}.",
                        hint="GRANT pg_read_all_data TO the user of domains.yaml",
                    )
        return found


def _agree(facts: DatabaseFacts, counts: list[int]) -> None:
    """What went by against what the server counted. Raises DumpFailed where they differ: rows were hidden or lost."""
    rows = {relation_of(table.name): table.rows for table in facts.tables if table.name != LARGE_OBJECTS}
    rows[LARGE_OBJECTS] = sum(table.rows for table in facts.tables if table.name == LARGE_OBJECTS)
    for (name, went), counted in zip(rows.items(), counts, strict=True):
        if went != counted:
            raise errors.DumpFailed(
                f"Of {name} in {facts.name} {went} rows came, and the server counts {counted}.",
                hint="Does a policy of row security, or a filter of an extension, hide some of them from our user?",
            )
