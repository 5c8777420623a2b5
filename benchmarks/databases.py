"""Databases: a dump and a restore beside what somebody would type, and what the next day's dump stores."""

import os
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.measure import Pairs, Row, Sample, command
from benchmarks.rig import Rig, rw
from tests.lab import Lab
from tests.servers.postgres import Postgres, start_postgres

ROW = 160
"""Bytes of a row in a dump, about: half of it incompressible, half like text."""
FILL = """\
CREATE TABLE cards (id bigint PRIMARY KEY, owner int, name text, body text);
INSERT INTO cards SELECT n, n % 1000, 'card number ' || n,
  md5(n::text) || md5((n + 1)::text) || ' a card like many others, of the year ' || 2000 + n % 26
  FROM generate_series(1, {rows}) n;
"""
NUMBERS = count(1)


def database(rig: Rig) -> Iterator[Row]:
    """One database: dumped, restored, changed in one place and in many, dumped again."""
    rows = rig.size(1 << 30, 1 << 20) // ROW
    with start_postgres({"shared_buffers": "256MB", "max_wal_size": "4GB"}) as server:
        name = server.database()
        with server.admin(name) as connection:
            for statement in FILL.format(rows=rows).split(";\n")[:-1]:
                connection.execute(statement)
            connection.execute("VACUUM (FREEZE, ANALYZE) cards")
        yield from _speed(rig, server, name, f"a database of {rows * ROW >> 20} MiB")
        yield from _next_day(rig, server, name, rows)


def _lab(rig: Rig, server: Postgres, name: str) -> Lab:
    source = {"type": "postgres", "url": server.url(name, user=server.user)}
    return rig.lab({"app_db": {"layer": "serving", "priority": "P0", "source": source}})


def _typed(lab: Lab, script: str) -> Sample:
    """What somebody would type, in a shell that tells of every part that fails."""
    return command(["bash", "-o", "pipefail", "-c", script], env=lab.env, cwd=lab.folder)


def _all_of_it(server: Postgres, work: Callable[[], Sample]) -> Sample:
    """With what the server itself has worked for it: a comparison that reads all of a database costs most there."""
    before = _processor(server)
    sample = work()
    return Sample(sample.wall, sample.cpu + _processor(server) - before)


def _processor(server: Postgres) -> float:
    """Processor seconds of the server, and of what of it has served a connection and ended."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _speed(rig: Rig, server: Postgres, name: str, what: str) -> Iterator[Row]:
    url = shlex.quote(server.url(name, user=server.user))
    programs = server.binaries

    def fresh(by_hand: bool) -> Sample:
        lab = _lab(rig, server, name)
        restic = f"{lab.restic} -r {lab.store / lab.namespace / 'hot'}"
        try:
            if not by_hand:
                return _all_of_it(server, partial(rw, lab, "backup", "--quiet"))
            script = f"{programs}/pg_dump {url} | {restic} backup --stdin --stdin-filename app_db.sql"
            return _all_of_it(server, partial(_typed, lab, script))
        finally:
            rig.remove(lab)

    pairs = Pairs.take(rig.size(3, 1), partial(fresh, True), partial(fresh, False))
    yield Row("dump", f"{what}, dumped into restic", pairs.ratio, "x", 1.1, pairs.details)

    lab = _lab(rig, server, name)
    restic = f"{lab.restic} -r {lab.store / lab.namespace / 'hot'}"
    _typed(lab, f"{programs}/pg_dump {url} | {restic} backup --host hand --stdin --stdin-filename app_db.sql")
    rw(lab, "backup", "--quiet")

    def restored(by_hand: bool) -> Sample:
        back = f"back_{next(NUMBERS)}"
        try:
            if not by_hand:
                return _all_of_it(server, partial(rw, lab, "db", "restore", "app_db", "--into", back, "--quiet"))
            with server.admin() as connection:
                connection.execute(f"CREATE DATABASE {back}")
            to = shlex.quote(server.url(back, user=server.user))
            script = f"{restic} dump --host hand latest /app_db.sql | {programs}/psql -Xq -v ON_ERROR_STOP=1 {to}"
            return _all_of_it(server, partial(_typed, lab, script))
        finally:
            server.drop(back)

    pairs = Pairs.take(rig.size(3, 1), partial(restored, True), partial(restored, False))
    yield Row("load", f"{what}, restored into a new one and compared", pairs.ratio, "x", 1.1, pairs.details)
    rig.remove(lab)


def _next_day(rig: Rig, server: Postgres, name: str, rows: int) -> Iterator[Row]:
    """How much a second dump stores, in percent of the first."""
    contiguous = f"id BETWEEN {rows // 2} AND {rows * 51 // 100}"
    changes = (
        ("dump-next-day", "a contiguous 1 % of its rows changed", 10.0, contiguous),
        ("dump-random", "1 % of its rows changed at random", None, "hashint8(id) % 100 = 0"),
    )
    for figure, what, limit, where in changes:
        lab = _lab(rig, server, name)
        whole = _added(lab)
        with server.admin(name) as connection:
            connection.execute(f"UPDATE cards SET owner = owner + 1 WHERE {where}")
        second = _added(lab)
        details = {"first_bytes": whole, "second_bytes": second}
        yield Row(figure, f"stored by the next dump: {what}", 100 * second / whole, "%", limit, details)
        rig.remove(lab)


def _added(lab: Lab) -> int:
    (run,) = lab.json("backup", timeout=600)["job"]["domains"]
    return int(run["added"])
