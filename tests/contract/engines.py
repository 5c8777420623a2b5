"""Each kind of database behind the same few doors, for one suite over all."""

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resticwrap.cancel import Cancel
from resticwrap.model.sources import MysqlSource, PostgresSource, SqliteSource
from resticwrap.services.database_ports import Engine, Server
from resticwrap.sources.mysql.domain import MysqlDomain
from resticwrap.sources.postgres.domain import PostgresDomain
from resticwrap.sources.sqlite.domain import SqliteDomain
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres

CARDS = """
CREATE TABLE cards (id INTEGER PRIMARY KEY, name VARCHAR(200) UNIQUE, note TEXT, data {blob});
CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
"""
VALUES = (
    (1, "plain", "", b"\x00\x01\xff\n"),
    (2, 'quo\'te "double" `back` \\slash', "two\nlines\r\n, and a comma", b""),
    (3, "größe 日本語 💾", None, None),
    (4, "NULL", "NULL", b"NULL"),
    (5, "INSERT INTO `cards` VALUES (9);", "\\.\n-- rw x end", b"\\."),
)
"""What is awkward: nothing and an empty text, quotes, ends of lines, other alphabets, bytes, what looks like a dump."""


@dataclass
class Bench:
    """A live server of one kind, with a database of a test's own in it."""

    kind: str
    name: str
    source: dict[str, Any]
    engine: Engine
    execute: Callable[..., list[tuple[Any, ...]]]
    """Run SQL in a database of this name: `execute(name, sql, values)`."""
    session: Callable[[], Any]
    """A context with a function that runs SQL in the database on one connection."""
    drop: Callable[[str], None]

    @property
    def server(self) -> Server:
        return self.engine.live()

    def domain(self) -> dict[str, Any]:
        return {"layer": "serving", "priority": "P0", "source": self.source}

    def other(self, word: str) -> str:
        """The name of another database beside it."""
        return f"{self.name}_{word}"

    def table(self, name: str) -> str:
        """A table as its dump names it."""
        return f"public.{name}" if self.kind == "postgres" else name

    def fill(self) -> None:
        """Two tables with what is awkward, and money that is only moved about."""
        blob = {"postgres": "BYTEA", "mysql": "BLOB", "sqlite": "BLOB"}[self.kind]
        for sql in CARDS.format(blob=blob).strip().split(";\n"):
            self.execute(self.name, sql.rstrip(";"))
        for row in VALUES:
            self.insert("cards", row)
        for number in range(1, 11):
            self.insert("accounts", (number, 100))

    def insert(self, table: str, row: tuple[Any, ...], name: str = "") -> None:
        self.execute(name or self.name, f"INSERT INTO {table} VALUES ({', '.join(map(self.literal, row))})")

    def literal(self, value: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, bytes):
            return f"'\\x{value.hex()}'" if self.kind == "postgres" else f"x'{value.hex()}'"
        if isinstance(value, int):
            return str(value)
        text = str(value).replace("'", "''")
        return "'" + (text.replace("\\", "\\\\") if self.kind == "mysql" else text) + "'"


@contextmanager
def mysql(server: Mariadb) -> Iterator[Bench]:
    name = server.database()
    source = {"type": "mysql", "url": server.url(name)}
    made: set[str] = {name}

    def execute(database: str, sql: str) -> list[tuple[Any, ...]]:
        made.add(database)
        return [tuple(row) for row in server.run(sql, database)]

    @contextmanager
    def session() -> Iterator[Callable[[str], Any]]:
        yield lambda sql: server.run(sql, name)

    engine = MysqlDomain("shop", MysqlSource.model_validate(source), Cancel())
    try:
        yield Bench("mysql", name, source, engine, execute, session, server.drop)
    finally:
        server.drop(*[one for one in server.databases() if one.startswith(name)])


@contextmanager
def postgres(server: Postgres) -> Iterator[Bench]:
    name = server.database()
    source = {"type": "postgres", "url": server.url(name, user=server.user)}

    def execute(database: str, sql: str) -> list[tuple[Any, ...]]:
        with server.admin(database) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def session() -> Iterator[Callable[[str], Any]]:
        with server.admin(name) as connection:
            yield lambda sql: connection.execute(sql.encode())

    engine = PostgresDomain("shop", PostgresSource.model_validate(source), Cancel())
    try:
        yield Bench("postgres", name, source, engine, execute, session, server.drop)
    finally:
        with server.admin() as connection:
            names = [row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()]
        for one in names:
            if one.startswith(name):
                server.drop(one)


@contextmanager
def sqlite(folder: Path) -> Iterator[Bench]:
    place = folder / f"files_{secrets.token_hex(3)}"
    place.mkdir()
    path = place / "app.db"
    source = {"type": "sqlite", "path": str(path)}

    def execute(database: str, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(place / database, timeout=10)) as connection, connection:
            return connection.execute(sql).fetchall()

    @contextmanager
    def session() -> Iterator[Callable[[str], Any]]:
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
            yield connection.executescript

    engine = SqliteDomain("shop", SqliteSource.model_validate(source), folder / "state", Cancel())
    yield Bench("sqlite", path.name, source, engine, execute, session, lambda name: (place / name).unlink())
