"""A PostgreSQL server that is asked and loaded, by psql."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, PutBack
from resticwrap.planning.dumps import PostgresDigest
from resticwrap.planning.globals import wanted_globals
from resticwrap.sources.feeding import Feeding
from resticwrap.sources.orders import nonce
from resticwrap.sources.postgres import putback, rows, swap
from resticwrap.sources.postgres.access import SHORT, Access, conninfo, literal, poured, quoted
from resticwrap.sources.postgres.heads import creating
from resticwrap.sources.postgres.trouble import VERBOSE, Otherwise, complaints, explained, state_of

ASK = SHORT
MAINTENANCE = "postgres"
"""The database that is there to be connected to for what concerns no other."""
LACKS = ("0A000", "58P01")
"""SQLSTATE feature_not_supported and undefined_file: what a server says that lacks an extension."""
QUICKLY = b"""\
SET synchronous_commit = off;
SELECT set_config(name, '256MB', false) FROM pg_settings WHERE name = 'maintenance_work_mem' AND setting::int < 262144;
"""
"""How a database is loaded that has no name yet which anybody uses: no statement of it waits for the disk. The commit
that gives it its name does, and for all that was written before; what a crash cuts off earlier is dropped and loaded
anew. Indexes are sorted in memory."""
LACKING = "Is the package of an extension missing there? The dump says which it needs: CREATE EXTENSION"
UNKNOWN_OR_NOT_OURS = ("42704", "42501")
"""SQLSTATE undefined_object and insufficient_privilege."""

RESTRICTING = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}
"""The minor versions since which psql knows `\\restrict` (CVE-2025-8714); later major ones all do."""
HEAD = 4096
"""Bytes in which `pg_dump` says it, where it does."""


def knows_restrict(version: str) -> bool:
    """Out of what `psql --version` says."""
    found = re.search(r" (\d+)\.(\d+)", version)
    if found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    return minor >= RESTRICTING.get(major, 0) if major >= min(RESTRICTING) else False


def restricted(body: Iterable[bytes]) -> Iterator[bytes]:
    """A dump in which psql takes no command of its own, such as one for a shell: an older pg_dump may be made to write
    one by whoever names things in its database. A newer one says so itself, which may not be said twice."""
    pieces, head = iter(body), b""
    while len(head) < HEAD and (piece := next(pieces, None)) is not None:
        head += piece
    if b"\n\\restrict " in b"\n" + head[:HEAD]:
        yield from chain([head], pieces)
        return
    key = nonce().encode()
    yield b"\\restrict " + key + b"\n"
    yield from chain([head], pieces)
    yield b"\n\\unrestrict " + key + b"\n"


class PostgresServer:
    """The `Server` port over psql."""

    def __init__(self, access: Access, place: str, cancel: Cancel, *, spaces: Path | None = None) -> None:
        """`spaces`: a folder of this machine and of the server's, below which tablespaces may be made."""
        self._access, self._place, self._cancel, self._spaces = access, place, cancel, spaces
        self._feeding = Feeding(access.env, access.secrets, cancel)

    @property
    def access(self) -> Access:
        """How it is reached."""
        return self._access

    @property
    def place(self) -> str:
        return self._place

    def version(self) -> str:
        return self._ask(MAINTENANCE, "SHOW server_version").split()[0]

    def databases(self) -> Sequence[str]:
        sql = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datallowconn ORDER BY datname"
        return self._ask(MAINTENANCE, f"{swap.WAIT_FOR_FENCE} {sql}").splitlines()

    def identity(self, name: str) -> str:
        return swap.identity(self._ask, name)

    def size(self, name: str) -> int | None:
        return swap.size(self._ask, name)

    def room(self) -> int | None:
        return swap.room(self._ask)

    def create(self, head: DatabaseHead, name: str) -> None:
        self._ask(MAINTENANCE, creating(head, name))
        # Its owner and whom it is granted to may be unknown here, and who restores may not be allowed to give it away:
        # it holds the same for all that.
        for sql in head.after:
            result = self._said(MAINTENANCE, sql.replace("{}", quoted(name)))
            if result.code and state_of(result.stderr)[0] not in UNKNOWN_OR_NOT_OURS:
                raise self._why(result, MAINTENANCE)

    def drop(self, name: str) -> None:
        self._ask(MAINTENANCE, f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")

    def take_globals(self, body: Iterable[bytes], *, only_missing: bool) -> Sequence[str]:
        text = b"".join(body).decode("utf-8", "surrogateescape")
        known = self._ask(MAINTENANCE, "SELECT quote_ident(rolname) FROM pg_roles").splitlines() if only_missing else ()
        wanted = wanted_globals(text, set(known), all_roles=not only_missing)
        notes = (
            [] if self._spaces else [f"Tablespace {one} is not made: where would it lie here?" for one in wanted.spaces]
        )
        sql = wanted.sql + self._spaces_made(wanted.spaces)
        if not sql:
            return notes
        argv = [*self._access.program("psql"), "-XqAtw", *VERBOSE, "-d", conninfo(MAINTENANCE), "-f", "-"]
        result = self._feeding.fed(argv, [sql.encode("utf-8", "surrogateescape")], ASK)
        if result.code:
            raise self._why(result, MAINTENANCE)
        return (*notes, *complaints(result.stderr))

    def _spaces_made(self, names: Sequence[str]) -> str:
        """The SQL that makes tablespaces; their folders are made, and belong to whom the one above belongs to."""
        made = []
        for number, name in enumerate(names if self._spaces else ()):
            assert self._spaces is not None
            place = self._spaces / str(number)
            place.mkdir(mode=0o700)
            os.chown(place, self._spaces.stat().st_uid, -1)
            made.append(f"CREATE TABLESPACE {name} LOCATION {literal(str(place))};\n")
        return "".join(made)

    def load(self, name: str, body: Iterable[bytes]) -> None:
        argv = [*self._access.program("psql"), "-XqAtw", *VERBOSE, "-v", "ON_ERROR_STOP=1", "-d", conninfo(name)]
        body = restricted(body) if self._restricts() else body
        result = self._feeding.fed(argv, chain([QUICKLY], body))
        if result.code:
            hint = LACKING if state_of(result.stderr)[0] in LACKS else ""
            raise self._why(result, name, lambda said: errors.LoadFailed(f"{name} was not loaded: {said}.", hint=hint))

    def _restricts(self) -> bool:
        """Whether this psql knows how to be kept from commands of its own."""
        said = process.run([*self._access.program("psql"), "--version"], env=self._access.env, timeout=ASK)
        return knows_restrict(said.stdout.decode("utf-8", "replace"))

    def value(self, name: str, sql: str) -> str | None:
        word = nonce()  # psql shows NULL as an empty text by itself, and that as much as no row at all
        result = self._said(name, f"\\pset null {word}\n{sql}\n;\n\\echo {word}\n")
        if result.code:
            raise self._why(result, name)
        text = result.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")
        if text == word:
            raise errors.LoadFailed("The query gives no value.")
        text = text.removesuffix(f"\n{word}")
        return None if text == word else text

    def facts(self, name: str) -> DatabaseFacts:
        digest = PostgresDigest(name)
        access = self._access.of_version(self.version())
        code, said = poured(access, "pg_dump", ["-w", "-d", conninfo(name)], digest.feed)
        if code or not digest.complete:
            raise explained(
                access, code, said, self._place, name,
                lambda said: errors.DumpFailed(f"{name} cannot be read whole: {said}."),
            )  # fmt: skip
        return digest.facts()

    def tables(self, name: str) -> Sequence[str]:
        return rows.tables(self._script, name)

    def rows(self, name: str, table: str, where: str | None) -> Iterator[bytes]:
        return rows.rows(self._script, name, table, where)

    def put_back(self, name: str, table: str, csv: Iterable[bytes], *, skip_conflicts: bool, dry_run: bool) -> PutBack:
        return putback.put_back(self._script, name, table, csv, skip_conflicts=skip_conflicts, dry_run=dry_run)

    def exchange(self, live: str, beside: str, kept: str) -> None:
        swap.exchange(self._access, self._place, self._cancel, self._ask, live, beside, kept)

    def _ask(self, database: str, sql: str) -> str:
        result = self._said(database, sql)
        if result.code:
            raise self._why(result, database)
        return result.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")

    def _said(self, database: str, sql: str) -> process.Result:
        argv = [*self._access.program("psql"), "-XqAtw", *VERBOSE, "-v", "ON_ERROR_STOP=1", "-d", conninfo(database)]
        return self._feeding.fed([*argv, "-f", "-"], [sql.encode("utf-8", "surrogateescape")], ASK)

    def _why(self, result: process.Result, name: str, otherwise: Otherwise | None = None) -> errors.Failure:
        """The error behind a psql on this database that failed."""
        otherwise = otherwise or (lambda said: errors.LoadFailed(f"{self._place} says: {said}."))
        return explained(self._access, result.code, result.stderr, self._place, name, otherwise)

    def _script(self, database: str, body: Iterable[bytes], stdout: int | None) -> bytes:
        """Run a script and return what it printed, unless `stdout` takes that, as `Feeding.fed` says."""
        argv = [*self._access.program("psql"), "-XqAtw", *VERBOSE, "-v", "ON_ERROR_STOP=1", "-d", conninfo(database)]
        result = self._feeding.fed([*argv, "-f", "-"], body, stdout=stdout)
        if result.code:
            raise self._why(result, database, lambda words: rows.refused(words, result.stderr))
        return result.stdout
