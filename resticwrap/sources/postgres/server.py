"""A PostgreSQL server that is asked and loaded, by psql."""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, PutBack
from resticwrap.planning.dumps import PostgresDigest
from resticwrap.sources.postgres.access import Access, failure, quoted

ASK = 60.0
"""Seconds that a short question may take."""


class PostgresServer:
    """The `Server` port over psql."""

    def __init__(self, access: Access, place: str, cancel: Cancel) -> None:
        self._access, self._place, self._cancel = access, place, cancel

    @property
    def place(self) -> str:
        return self._place

    def version(self) -> str:
        return self._ask("postgres", "SHOW server_version").split()[0]

    def databases(self) -> Sequence[str]:
        sql = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datallowconn ORDER BY datname"
        return self._ask("postgres", sql).splitlines()

    def create(self, head: DatabaseHead, name: str) -> None:
        options = " ".join(f"{word} {value}" for word, value in head.options.items())
        self._ask("postgres", f"CREATE DATABASE {quoted(name)} TEMPLATE template0 {options}")
        for sql in head.after:
            self._ask("postgres", sql.replace("{}", quoted(name)))

    def drop(self, name: str) -> None:
        self._ask("postgres", f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")

    def take_globals(self, body: Iterable[bytes], *, only_missing: bool) -> Sequence[str]:  # noqa: ARG002
        for _ in body:
            pass
        return ()

    def load(self, name: str, body: Iterable[bytes]) -> None:
        argv = [*self._access.program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", name]
        result = self._fed(argv, body)
        if result.code:
            raise failure(result.stderr, self._place, lambda said: errors.LoadFailed(f"{name} was not loaded: {said}."))

    def value(self, name: str, sql: str) -> str | None:
        return self._ask(name, sql)

    def facts(self, name: str) -> DatabaseFacts:
        digest = PostgresDigest(name)
        code, said = process.pour(
            [*self._access.program("pg_dump"), "-d", name], env=self._access.env, on_chunk=digest.feed
        )
        if code or not digest.complete:
            raise failure(said, self._place, lambda said: errors.DumpFailed(f"{name} cannot be read whole: {said}."))
        return digest.facts()

    def tables(self, name: str) -> Sequence[str]:
        raise NotImplementedError

    def rows(self, name: str, table: str, where: str | None) -> Iterator[bytes]:
        raise NotImplementedError

    def put_back(self, name: str, table: str, csv: Iterable[bytes], *, skip_conflicts: bool, dry_run: bool) -> PutBack:
        raise NotImplementedError

    def exchange(self, live: str, beside: str, kept: str) -> None:
        raise NotImplementedError

    def _ask(self, database: str, sql: str) -> str:
        argv = [*self._access.program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"]
        result = self._fed(argv, [sql.encode()], timeout=ASK)
        if result.code:
            raise failure(result.stderr, self._place, lambda said: errors.LoadFailed(f"{self._place} says: {said}."))
        return result.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")

    def _fed(self, argv: Sequence[str], body: Iterable[bytes], timeout: float = 12 * 3600) -> process.Result:
        """Run a client that reads `body`. What goes wrong while that is made is raised, not what the client makes of
        it."""
        reading, writing = os.pipe()
        trouble: list[BaseException] = []

        def feed() -> None:
            try:
                with open(writing, "wb", buffering=0) as pipe:
                    for piece in body:
                        rest = memoryview(piece)
                        while rest:
                            rest = rest[pipe.write(rest) or 0 :]
            except BrokenPipeError:
                pass
            except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that waits
                trouble.append(error)
                with suppress(OSError):
                    os.close(reading)

        feeder = threading.Thread(target=feed, daemon=True)
        try:
            feeder.start()
            result = process.run(
                argv,
                env=self._access.env,
                timeout=timeout,
                stdin=reading,
                secrets=self._access.secrets,
                cancel=self._cancel,
            )
        finally:
            with suppress(OSError):
                os.close(reading)
            feeder.join()
        if trouble:
            raise trouble[0]
        return result
