"""A base and its log made a server again, at a moment."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resticwrap import errors, pipes, process
from resticwrap.cancel import Cancel
from resticwrap.model.base import Time
from resticwrap.model.databases import DumpOrder
from resticwrap.model.sources import PostgresSource
from resticwrap.model.wal import BaseFacts
from resticwrap.planning import wal as planning
from resticwrap.planning.dbrestore import of_a_restore
from resticwrap.services.wal_ports import Recovered
from resticwrap.sources.orders import named, told
from resticwrap.sources.postgres.access import PLACES, SHORT, Access
from resticwrap.sources.postgres.scratch import not_root, own, until_up
from resticwrap.sources.postgres.server import PostgresServer

ENV = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
HASTY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""What it need not do where it is thrown away."""
STOP = 600.0
"""Seconds that a server may take to write all that it holds when it is stopped."""
QUIET = {
    "listen_addresses": "",
    "archive_mode": "off",
    "hot_standby": "off",
    "max_wal_senders": "0",
    "recovery_target_action": "promote",
    "logging_collector": "off",
    "log_destination": "stderr",
    "autovacuum": "off",
    "jit": "off",
    "max_logical_replication_workers": "0",
    "cron.launch_active_jobs": "off",
}
"""Nobody reaches it, it archives nothing, and nothing of the live server's own settings holds: they may name libraries
and files that are not here. Nor does it do anything of what the live one does by itself: a copy of a subscription would
take from its publisher what the live one has not got yet."""


@contextmanager
def recovered(
    data: Path,
    log: Path,
    base: BaseFacts,
    until: Time | None,
    source: PostgresSource,
    cancel: Cancel,
    *,
    lasting: bool,
) -> Iterator[Recovered]:
    """See `Archive.recovered`."""
    binaries = same_version(base.server, source.scratch.bin)
    sockets = Path(tempfile.mkdtemp(prefix="rw-pg-"))  # a socket's path may have 107 bytes
    said = sockets / "postgres.log"
    try:
        for partial in log.glob(f"*{planning.PARTIAL}"):
            partial.rename(partial.with_suffix(""))
        data.chmod(0o700)
        (data / "recovery.signal").touch()
        own(data, sockets)
        settings = _settings(log, base, until, sockets) | ({} if lasting else HASTY)
        command = _command(binaries, data, settings)
        with process.serve(command, env=ENV, log=said) as alive:
            access = Access({**ENV, "PGHOST": str(sockets), "PGUSER": base.user}, (), str(binaries), chosen=True)
            server = PostgresServer(access, f"a scratch server of {base.server}", cancel)
            until_up(access, alive, said, cancel)
            names = [source.name] if source.name else [name for name in server.databases() if not of_a_restore(name)]
            order = DumpOrder(
                engine="postgres",
                domain=base.system,
                place=server.place,
                binaries=access.binaries,
                env=dict(access.env),
                databases=tuple(names) if source.name else (),
            )
            yield Recovered(server, names, lambda: dump(order, cancel))
            if lasting:
                _stop(binaries, data, cancel)
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def _stop(binaries: Path, data: Path, cancel: Cancel) -> None:
    program = [*not_root()[0], str(binaries / "pg_ctl")]
    stop = [*program, "stop", "-D", str(data), "-m", "fast", "-w", "-t", f"{STOP:.0f}"]
    if process.run(stop, env=ENV, timeout=STOP + SHORT, cancel=cancel).code:
        raise errors.LoadFailed("The recovered server could not be shut down in order.")


def _settings(log: Path, base: BaseFacts, until: Time | None, sockets: Path) -> dict[str, str]:
    """Its own configuration: that of the live server may lie outside its data, and is not followed in any case."""
    access = sockets / "pg_hba.conf"
    access.write_text("local all all trust\n")
    (sockets / "postgresql.conf").touch()
    (sockets / "pg_ident.conf").touch()
    fetch = f"cp {shlex.quote(str(log).replace('%', '%%'))}/%f %p"
    ours = {
        **QUIET,
        "config_file": str(sockets / "postgresql.conf"),
        "hba_file": str(access),
        "ident_file": str(sockets / "pg_ident.conf"),
        "unix_socket_directories": str(sockets),
        "restore_command": fetch,
    }
    if until is not None:
        ours["recovery_target_time"] = until.isoformat()
    return planning.settings_of(base, ours)


def _command(binaries: Path, data: Path, settings: dict[str, str]) -> list[str]:
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [*not_root()[0], str(binaries / "postgres"), "-D", str(data), *words]


def same_version(version: str, given: Path | None) -> Path:
    """The folder of the server's programs of this major version, which alone can read its files. Raises
    ClientMissing."""
    major = version.split(".", maxsplit=1)[0]
    folder = given or PLACES / major / "bin"
    if not (folder / "postgres").exists():
        raise errors.ClientMissing(
            f"No PostgreSQL {major} is installed here, and no other one can read a base backup of {version}.",
            hint=f"apt install postgresql-{major}   (or name its folder as scratch.bin in domains.yaml)",
        )
    return folder


def dump(order: DumpOrder, cancel: Cancel) -> Iterator[bytes]:
    """What the program that makes dumps writes. Raises what it says, at the latest after the last piece."""

    def work(writing: int) -> None:
        with told(order) as (command, fds, said):
            process.run(command, env=ENV, timeout=24 * 3600, stdout=writing, pass_fds=fds, cancel=cancel)
            heard = said()
            if not heard.ok:
                raise named(heard, order.domain)

    return pipes.read(work)
