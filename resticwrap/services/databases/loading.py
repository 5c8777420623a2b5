"""What a restore of databases needs done: a backup of what is live, a dump loaded and compared."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import msgspec

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.databases import DatabaseFacts
from resticwrap.model.dbreports import RestoredDatabase
from resticwrap.model.dbswap import DbJournal, DbPiece
from resticwrap.model.sources import DATABASES, Query
from resticwrap.planning import dbproof
from resticwrap.planning import dbrestore as decide
from resticwrap.ports import Progress
from resticwrap.services import backup
from resticwrap.services.choosing import Choice, Wish, choose
from resticwrap.services.context import Context
from resticwrap.services.database_ports import Engine, Server
from resticwrap.services.databases import reading
from resticwrap.services.databases.swap_ports import DbWork


def engine_of(context: Context, domain: str) -> Engine:
    """The engine of a domain. Raises UsageError where its source is no database."""
    found = context.engines(domain, context.settings.select_domains([domain])[domain])
    if found is None:
        raise errors.UsageError(f"{domain} is no database.", hint="rw db list")
    return found


class DomainDatabases(DbWork):
    """`choice` is what is loaded, and `found` what it holds: who only ends or undoes something has neither. `notes`
    fills with what a person should know."""

    def __init__(
        self,
        context: Context,
        choice: Choice | None = None,
        found: reading.Opened | None = None,
        *,
        force: bool = False,
    ) -> None:
        self._context, self._choice, self._found, self._force = context, choice, found, force
        self.notes: list[str] = []

    def unheeding(self) -> AbstractContextManager[None]:
        return self._context.unheeding()

    def server(self, journal: DbJournal) -> Server:
        server = engine_of(self._context, journal.domain).live()
        if server.place != journal.place:
            raise errors.RestoreRefused(
                f"{journal.job} worked on {journal.place}, and {journal.domain} is at {server.place} now.",
                hint=f"Let {journal.domain} in domains.yaml name the other again until rw db list says it is over.",
            )
        return server

    def safety(self, journal: DbJournal) -> str:
        context, domain = self._context, journal.domain
        name = engine_of(context, domain).name
        others = [piece.live for piece in journal.pieces if piece.kept and name not in (None, piece.live)]
        if others:
            self.notes.append(f"{others[0]} is none of {domain}'s, so no snapshot has it: the old one alone is kept")
            return ""
        context.watcher.note(f"{domain}: a snapshot of what is live")
        plan = backup.plan(context, "incremental", context.settings.select_domains([domain]))
        (run,) = backup.backup(context, plan).job.domains
        if run.snapshot is not None and run.complete:
            return run.snapshot
        why = run.error.message if run.error else "not all of it could be read."
        if self._force:
            self.notes.append(f"no snapshot has what was live: {why} The old one alone is kept")
            return ""
        raise errors.RestoreRefused(
            f"What is live in {domain} could not be backed up: {why}",
            hint="--force goes on without: the old database is kept under another name in any case.",
        )

    def load(self, journal: DbJournal, server: Server) -> Sequence[RestoredDatabase]:
        assert self._choice is not None
        watcher, domain = self._context.watcher, self._choice.domain
        watcher.begin(f"restore {journal.job}", [domain])
        try:
            done = self._load(journal, server)
            watcher.done(domain, "ok" if all(one.ok for one in done) else "partial")
        finally:
            watcher.end()
        return done

    def _load(self, journal: DbJournal, server: Server) -> Sequence[RestoredDatabase]:
        assert self._choice is not None and self._found is not None
        waiting = {piece.database: piece for piece in journal.pieces}
        facts = self._found.facts
        said = {one.name: one for one in facts.databases}
        alike = not facts.server or decide.same_version(facts.server, server.version())
        count = _Counter(self._context, self._choice)
        done = []
        try:
            for section in self._found.sections:
                if section.head is None:
                    self.notes += server.take_globals(count(section.body), only_missing=True)
                    continue
                piece = waiting.pop(section.head.name, None)
                if piece is None:
                    continue
                server.create(section.head, piece.beside)
                server.load(piece.beside, count(section.body))
                done.append(self._checked(piece, said[piece.database], server, definitions=alike))
        except (ValueError, KeyError) as error:
            raise self._cut_off() from error
        if waiting:
            raise self._cut_off()
        if not alike:
            self.notes.append("definitions were not compared: the dump is of another version, which may word them so")
        return done

    def _checked(self, piece: DbPiece, said: DatabaseFacts, server: Server, *, definitions: bool) -> RestoredDatabase:
        assert self._choice is not None
        self._context.heed()
        self._context.watcher.note(f"{piece.database}: comparing every table with the dump")
        found = decide.compared(piece.database, piece.live, said, server.facts(piece.beside), definitions=definitions)
        wrong = [ask(server, piece.beside, query) for query in self._queries(piece.database)]
        return msgspec.structs.replace(found, unexpected=tuple(one for one in wrong if one))

    def _queries(self, database: str) -> list[Query]:
        """Those of the domain that is loaded, which its data was written for."""
        assert self._choice is not None
        domain = self._context.settings.domains.get(self._choice.domain)
        queries = domain.source.queries if domain and isinstance(domain.source, DATABASES) else ()
        return [query for query in queries if query.database in (None, database)]

    def _cut_off(self) -> errors.Failure:
        assert self._choice is not None
        return errors.Damaged(
            f"The dump in snapshot {self._choice.snapshot.original[:8]} of {self._choice.domain} is not whole.",
            hint=f"rw verify; rw snapshots --domain {self._choice.domain} lists others",
        )

    def unsaved(self, journal: DbJournal, piece: DbPiece, name: str, server: Server) -> str:
        old = journal.phase == "kept"
        domain, snapshot = (journal.domain, journal.safety) if old else (journal.source, journal.snapshot)
        until = None if old else journal.until
        if not snapshot:
            return "is in no snapshot"
        try:
            said = self._facts_of(domain, snapshot, until)[piece.live if old else piece.database]
        except errors.Interrupted:
            raise
        except (errors.Failure, KeyError) as error:
            why = error.message if isinstance(error, errors.Failure) else "it does not name it"
            return f"may have what snapshot {snapshot[:8]} has not ({why})"
        wrong = decide.compared(piece.database, name, said, server.facts(name)).wrong
        return f"has what snapshot {snapshot[:8]} has not ({wrong[0]})" if wrong else ""

    def _facts_of(self, domain: str, snapshot: str, until: Time | None) -> Mapping[str, DatabaseFacts]:
        (choice,) = choose(self._context, Wish((domain,), snapshot=snapshot))
        with reading.opened(self._context, replace(choice, until=until)) as found:
            return {one.name: one for one in found.facts.databases}


def ask(server: Server, name: str, query: Query) -> str:
    """What is wrong with a database's answer to a query; empty where it is as expected."""
    try:
        value = server.value(name, query.sql)
    except errors.LoadFailed as error:
        return f"{query.sql.strip()}: {error.message}"
    wrong = dbproof.wrong(query, value)
    return f"{query.sql.strip()}: gives {wrong}" if wrong else ""


class _Counter:
    """Tells how many bytes of a dump went by."""

    def __init__(self, context: Context, choice: Choice) -> None:
        self._context, self._domain, self._done = context, choice.domain, 0
        trees = choice.trees or context.repositories[choice.tier].trees()
        entry = next(iter(trees.walk(choice.snapshot.tree, choice.root)), None)
        self._total = (entry.size or None) if entry else None

    def __call__(self, body: Iterable[bytes]) -> Iterator[bytes]:
        for piece in body:
            yield piece
            self._done += len(piece)
            self._context.watcher.update(self._domain, Progress(bytes_done=self._done, bytes_total=self._total))
