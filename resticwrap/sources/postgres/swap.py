"""PostgreSQL: two databases exchange names, and what is asked of a server before that.

Both renames are one transaction, so that whatever is cut off leaves both names or neither. The server renames nothing
that somebody is connected to, and waits 5 seconds for them to go (`CountOtherDBBackends` in its source), while no new
one comes in: meanwhile a second connection ends the sessions.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.sources.postgres.access import SHORT, Access, conninfo, literal, quoted
from resticwrap.sources.postgres.trouble import VERBOSE, explained

FENCE = 0x7277_6462
"""The advisory lock that an exchange holds to its end, whoever lives on to see that. Who reads names waits for it."""
WAIT_FOR_FENCE = f"DO $$ BEGIN PERFORM pg_advisory_xact_lock({FENCE}); END $$;"
READY = b"rw ready"
PATIENCE = "60s"
"""How long a name is waited for that a CREATE DATABASE of somebody's copies from."""


def exchange(
    access: Access, place: str, cancel: Cancel, ask: Callable[[str, str], str], live: str, beside: str, kept: str
) -> None:
    """The `exchange` of the `Server` port. `ask` is a question to a database."""
    through = "postgres" if "postgres" not in (live, beside, kept) else "template1"
    there = _ids(ask, through, live, beside, kept)
    if beside not in there and kept and kept in there:
        return  # it was done
    renames = [f"ALTER DATABASE {quoted(beside)} RENAME TO {quoted(live)};"]
    if live in there:
        renames.insert(0, f"ALTER DATABASE {quoted(live)} RENAME TO {quoted(kept)};")
    ids = ", ".join(str(there[name]) for name in (live, beside) if name in there)

    def end_sessions() -> None:
        if ids:
            sessions = f"FROM pg_stat_activity WHERE datid IN ({ids}) AND pid <> pg_backend_pid()"
            ask(through, f"SELECT count(pg_terminate_backend(pid)) {sessions}")

    script = [
        f"BEGIN; SET LOCAL lock_timeout = '{PATIENCE}'; SELECT pg_advisory_xact_lock({FENCE});",
        *renames,
        rf"\echo {READY.decode()}",
    ]
    end_sessions()
    code, said = _transaction(access, cancel, through, "\n".join(script) + "\n", end_sessions)
    if code:
        raise explained(
            access, code, said, place, through,
            lambda why: errors.LoadFailed(f"{live} was not exchanged at {place}: {why}."),
        )  # fmt: skip


def _ids(ask: Callable[[str, str], str], through: str, *names: str) -> dict[str, str]:
    wanted = ", ".join(literal(name) for name in names if name)
    answer = ask(through, f"{WAIT_FOR_FENCE} SELECT oid, datname FROM pg_database WHERE datname IN ({wanted})")
    return {name: oid for oid, _, name in (line.partition("|") for line in answer.splitlines())}


def _transaction(
    access: Access, cancel: Cancel, through: str, script: str, on_tick: Callable[[], None]
) -> tuple[int, str]:
    """Run a script whose last line says that all of it was done, and only then say COMMIT: a psql that is left alone
    finds no more to read, and the server takes everything back."""
    reading, writing = os.pipe()
    ready = threading.Event()
    ended = threading.Event()

    def feed() -> None:
        with suppress(BrokenPipeError), open(writing, "wb", buffering=0) as pipe:
            pipe.write(script.encode())
            while not ready.wait(0.05):
                if ended.is_set():
                    return
            if not ended.is_set():
                pipe.write(b"COMMIT;\n")

    def heard(line: bytes) -> None:
        if line == READY:
            ready.set()

    feeder = threading.Thread(target=feed, name="exchange", daemon=True)
    feeder.start()
    try:
        result = process.run(
            [*access.program("psql"), "-XqAtw", *VERBOSE, "-v", "ON_ERROR_STOP=1", "-d", conninfo(through), "-f", "-"],
            env=access.env, timeout=2 * SHORT, stdin=reading, secrets=access.secrets, cancel=cancel,
            on_stdout=heard, on_tick=lambda: None if ready.is_set() else on_tick(),
        )  # fmt: skip
    finally:
        ended.set()
        os.close(reading)
        feeder.join()
    if result.code == 0 and not ready.is_set():
        return 1, "psql ended before the exchange was done"
    return result.code, result.stderr


def identity(ask: Callable[[str, str], str], name: str) -> str:
    """The cluster's own number and the database's."""
    sql = "SELECT system_identifier || '/' || d.oid FROM pg_control_system(), pg_database d WHERE d.datname = "
    return ask("postgres", sql + literal(name))


def size(ask: Callable[[str, str], str], name: str) -> int | None:
    """Its bytes on the disk."""
    answer = ask("postgres", f"SELECT pg_database_size(oid) FROM pg_database WHERE datname = {literal(name)}")
    return int(answer) if answer else None


def room(ask: Callable[[str, str], str]) -> int | None:
    """Bytes free where the server keeps its data, where that is a folder of this machine's which we may look into."""
    with suppress(errors.Failure, OSError, ValueError, IndexError):
        folder, port = ask("postgres", "SHOW data_directory; SHOW port").splitlines()
        # Another machine may have a folder of that name: the server writes its port into the fourth line.
        if Path(folder, "postmaster.pid").read_text().splitlines()[3] == port:
            found = os.statvfs(folder)
            return found.f_bavail * found.f_frsize
    return None
